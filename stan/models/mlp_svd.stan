// Bayesian neural network whose hidden layers are given by their singular
// values s and by rotation angles of their left and right singular vectors,
// below a right angle, which fixes the signs of both. The prior on the weights
// is that of mlp.stan, restricted to this region and renormalised;
// svd.stanfunctions has the transform and the region's mass.
// target +=, not ~: an evidence needs the constants that CmdStan drops from ~.
// priors.stanfunctions says why they are terms of their own.
functions {
  #include network.stanfunctions
  #include priors.stanfunctions
  #include likelihoods.stanfunctions
  #include network_likelihood.stanfunctions
  #include svd.stanfunctions
}
data {
  #include network_data.stanblock
  int<lower=1> L; // hidden layers
  array[L] int<lower=1> hidden; // units in each hidden layer
  int<lower=1, upper=3> activation; // 1 sigmoid, 2 tanh, 3 relu
}
transformed data {
  matrix[input_rows(N), M + 1] X1 = network_inputs(X); // with a bias column
  array[L + 1] int units = append_array({M}, hidden); // inputs, then layers
  array[L] int rank = svd_ranks(units); // singular values in each layer
  int n_U = frame_sizes(hidden, rank); // angles of left singular vectors
  int n_V = frame_sizes(units[1:L], rank); // angles of right ones
  vector[n_U + n_V] power // of the cosines in the Jacobian
    = append_row(frame_powers(hidden, rank), frame_powers(units[1:L], rank));
  if (prior_family == uniform_prior()) {
    reject("a uniform prior's box has no form in these coordinates: use ",
           "mlp.stan");
  }
}
parameters {
  vector<lower=-pi() / 2, upper=pi() / 2>[n_U] theta_U; // left angles
  vector<lower=-pi() / 2, upper=pi() / 2>[n_V] theta_V; // right angles
  vector<lower=0>[sum(rank)] s_gap; // steps down to the next s, the last to 0
  vector[sum(hidden)] b; // hidden biases
  matrix[K, hidden[L]] V; // last layer to outputs
  vector[K] c; // output biases
  vector<lower=0>[likelihood == normal_likelihood()] sigma; // noise
}
transformed parameters {
  vector[sum(rank)] s = svd_values(rank, s_gap); // singular values, by layers
  matrix[hidden[1], M] W; // inputs to first layer
  vector[deep_size(hidden)] W_deep; // later layers, each by columns
  {
    vector[deep_size(units)] w = svd_weights(units, theta_U, s, theta_V);
    W = to_matrix(head(w, hidden[1] * M), hidden[1], M);
    W_deep = tail(w, deep_size(hidden));
  }
}
model {
  // Jacobian of the weights' coordinates.
  target += dot_product(power, log(cos(append_row(theta_U, theta_V))));
  target += svd_log_det(units, s, s_gap);
  // Prior: constants of the family, then the terms with the scale. There are
  // as many coordinates as weights; every singular value halves the region.
  target += prior_constant(num_elements(theta_U), prior_family);
  target += prior_constant(num_elements(theta_V), prior_family);
  target += positive_prior_constant(num_elements(s_gap), prior_family);
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
