// Bayesian neural network whose hidden layers are square matrices W with
// (W + W')/2 = T T' positive definite and (W - W')/2 = U - U' positive above
// its diagonal (Yallup et al. 2022, who write L for T). The prior is on the
// elements of the lower triangular T and the upper triangular U: under the
// uniform prior W reaches beyond its bound.
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
  int pairs = (M * (M - 1)) %/% 2; // elements above the diagonal
}
parameters {
  array[L] vector<lower=0, upper=bound>[M] t; // diagonals of T
  array[L] vector<lower=-bound, upper=bound>[pairs] T_low; // T below them
  array[L] vector<lower=0, upper=bound>[pairs] u; // U, by columns
  vector<lower=-bound, upper=bound>[sum(hidden)] b; // hidden biases
  matrix<lower=-bound, upper=bound>[K, hidden[L]] V; // last layer to outputs
  vector<lower=-bound, upper=bound>[K] c; // output biases
  vector<lower=0>[likelihood == normal_likelihood()] sigma; // noise
}
transformed parameters {
  matrix[M, M] W // first layer
    = pd_skew_lu_matrix(M, t[1], T_low[1], u[1]);
  vector[deep_size(hidden)] W_deep; // later layers, each by columns
  for (l in 2:L) {
    W_deep[((l - 2) * M * M + 1):((l - 1) * M * M)]
      = to_vector(pd_skew_lu_matrix(M, t[l], T_low[l], u[l]));
  }
}
model {
  // Prior: constants of the family, then the terms with the scale.
  for (l in 1:L) {
    target += positive_prior_constant(num_elements(t[l]), prior_family);
    target += prior_constant(num_elements(T_low[l]), prior_family);
    target += positive_prior_constant(num_elements(u[l]), prior_family);
    target += prior_kernel(append_row(t[l], append_row(T_low[l], u[l])),
                           prior_family, prior_scale, prior_nu);
  }
  target += prior_constant(num_elements(b), prior_family);
  target += prior_constant(num_elements(V), prior_family);
  target += prior_constant(num_elements(c), prior_family);
  target += positive_prior_constant(num_elements(sigma), normal_prior());
  target += prior_kernel(append_row(append_row(b, to_vector(V)), c),
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
