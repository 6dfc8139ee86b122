// Bayesian neural network whose hidden layers are square matrices W with
// (W + W')/2 positive definite and (W - W')/2 positive above its diagonal
// (Yallup et al. 2022), by rejection: the prior of mlp.stan is cut off outside
// of this region and not renormalised, so that log_z is lower than that of
// mlp_pd_skew.stan by the region's log prior mass.
// target +=, not ~: an evidence needs the constants that CmdStan drops from ~.
// priors.stanfunctions says why they are terms of their own.
functions {
  #include network.stanfunctions
  #include priors.stanfunctions
  #include likelihoods.stanfunctions
  #include network_likelihood.stanfunctions
  #include pd_skew.stanfunctions
}
data {
  #include network_data.stanblock
  int<lower=1> L; // hidden layers
  array[L] int<lower=M, upper=M> hidden; // units in each hidden layer
  int<lower=1, upper=3> activation; // 1 sigmoid, 2 tanh, 3 relu
}
transformed data {
  matrix[input_rows(N), M + 1] X1 = network_inputs(X); // with a bias column
  real bound = prior_bound(prior_family, prior_scale); // of all weights
}
parameters {
  matrix<lower=-bound, upper=bound>[hidden[1], M] W; // inputs to first layer
  vector<lower=-bound, upper=bound>[deep_size(hidden)] W_deep; // later layers
  vector<lower=-bound, upper=bound>[sum(hidden)] b; // hidden biases
  matrix<lower=-bound, upper=bound>[K, hidden[L]] V; // last layer to outputs
  vector<lower=-bound, upper=bound>[K] c; // output biases
  vector<lower=0>[likelihood == normal_likelihood()] sigma; // noise
}
model {
  // Prior: constants of the family, minus infinity outside of the region;
  // then the terms with the scale.
  target += pd_skew_cut_constant(1, M, to_vector(W), prior_family);
  target += pd_skew_cut_constant(L - 1, M, W_deep, prior_family);
  target += prior_constant(num_elements(b), prior_family);
  target += prior_constant(num_elements(V), prior_family);
  target += prior_constant(num_elements(c), prior_family);
  target += positive_prior_constant(num_elements(sigma), normal_prior());
  target += prior_kernel(append_row(append_row(to_vector(W), W_deep),
                                    append_row(append_row(b, to_vector(V)),
                                               c)),
                         prior_family, prior_scale, prior_nu);
  target += prior_kernel(sigma, normal_prior(), sigma_scale, 1);
  if (!prior_only) {
    target += network_log_likelihood(X1, hidden, activation, likelihood,
                                     y_int, y_real, W, b, W_deep, V, c,
                                     sigma);
  }
}
generated quantities {
  #include network_log_lik.stanblock
}
