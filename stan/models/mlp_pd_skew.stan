// Bayesian neural network whose hidden layers are square matrices W with
// (W + W')/2 positive definite and (W - W')/2 positive above its diagonal
// (Yallup et al. 2022). The prior on them is that of mlp.stan, restricted
// to this region and renormalised; pd_skew.stanfunctions has the transform.
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
  real<upper=0> log_region; // log prior mass of the region, all layers
}
transformed data {
  matrix[input_rows(N), M + 1] X1 = network_inputs(X); // with a bias column
  real bound = prior_bound(prior_family, prior_scale); // of all weights
  real u_bound = prior_bound(prior_family, 1); // of u
  int pairs = (M * (M - 1)) %/% 2; // elements above the diagonal
}
parameters {
  array[L] cholesky_factor_corr[M] R_chol; // correlations, symmetric parts
  array[L] vector<lower=0, upper=bound>[M] d; // diagonals of the weights
  array[L] vector<lower=0, upper=u_bound>[pairs] u; // skew parts
  vector<lower=-bound, upper=bound>[sum(hidden)] b; // hidden biases
  matrix<lower=-bound, upper=bound>[K, hidden[L]] V; // last layer to outputs
  vector<lower=-bound, upper=bound>[K] c; // output biases
  vector<lower=0>[likelihood == normal_likelihood()] sigma; // noise
}
transformed parameters {
  matrix[M, M] W // first layer
    = pd_skew_matrix(M, R_chol[1], d[1], u[1], bound);
  vector[deep_size(hidden)] W_deep; // later layers, each by columns
  for (l in 2:L) {
    W_deep[((l - 2) * M * M + 1):((l - 1) * M * M)]
      = to_vector(pd_skew_matrix(M, R_chol[l], d[l], u[l], bound));
  }
}
model {
  // Jacobian of the weights' coordinates.
  for (l in 1:L) {
    target += correlation_log_det(R_chol[l]);
    target += diagonal_log_det(d[l]);
    target += num_elements(u[l]) * log2();
  }
  target += room_log_det(W, bound);
  for (l in 2:L) {
    target += room_log_det(to_matrix(segment(W_deep, (l - 2) * M * M + 1,
                                             M * M), M, M), bound);
  }
  // Prior: constants of the family, then the terms with the scale.
  target += prior_constant(num_elements(W), prior_family);
  target += prior_constant(num_elements(W_deep), prior_family);
  target += prior_constant(num_elements(b), prior_family);
  target += prior_constant(num_elements(V), prior_family);
  target += prior_constant(num_elements(c), prior_family);
  target += positive_prior_constant(num_elements(sigma), normal_prior());
  target += prior_kernel(append_row(append_row(to_vector(W), W_deep),
                                    append_row(append_row(b, to_vector(V)),
                                               c)),
                         prior_family, prior_scale, prior_nu);
  target += prior_kernel(sigma, normal_prior(), sigma_scale, 1);
  target += -log_region;
  if (!prior_only) {
    target += network_log_likelihood(X1, hidden, activation, likelihood,
                                     y_int, y_real, W, b, W_deep, V, c,
                                     sigma);
  }
}
generated quantities {
  #include network_log_lik.stanblock
}
