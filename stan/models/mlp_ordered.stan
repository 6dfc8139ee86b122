// Bayesian neural network with the biases of every hidden layer in increasing
// order and, if so chosen, positive weights from its units to the first unit
// of what follows. The prior is that of mlp.stan, restricted to this region
// and renormalised: of the copies of a network by permutation, and by the
// sign flips of its units, it holds one.
// target +=, not ~: an evidence needs the constants that CmdStan drops from ~.
// priors.stanfunctions says why they are terms of their own.
functions {
  #include network.stanfunctions
  #include priors.stanfunctions
  #include weight_priors.stanfunctions
  #include likelihoods.stanfunctions
  #include network_likelihood.stanfunctions
  #include ordered.stanfunctions
}
data {
  #include network_data.stanblock
  int<lower=1> L; // hidden layers
  array[L] int<lower=1> hidden; // units in each hidden layer
  int<lower=1, upper=3> activation; // 1 sigmoid, 2 tanh, 3 relu
  int<lower=0, upper=1> ard; // 1: sample a scale for every input
  int<lower=0, upper=1> positive; // 1: weights to a first unit are positive
}
transformed data {
  matrix[input_rows(N), M + 1] X1 = network_inputs(X); // with a bias column
  real bound = prior_bound(prior_family, prior_scale); // of all weights
  real raw_scale = ard ? 1 : prior_scale; // of W_raw
  real step_bound = prior_bound(prior_family, 1); // of b_step
  real first = positive ? 0 : -bound; // lowest weight to a first unit
  vector[deep_size(hidden)] W_deep_lower // lower bounds of W_deep
    = deep_lower_bounds(hidden, first, -bound);
  matrix[K, hidden[L]] V_lower = rep_matrix(-bound, K, hidden[L]); // of V
  vector[sum(hidden)] one = rep_vector(1, sum(hidden)); // biases as they are
  real log_copies = positive ? sum(hidden) * log2() : 0; // copies left out
  V_lower[1] = rep_row_vector(first, hidden[L]);
  for (l in 1:L) {
    log_copies += lgamma(hidden[l] + 1);
  }
}
parameters {
  vector<lower=0>[ard ? M : 0] input_scale; // scales of the inputs' weights
  matrix<lower=-bound, upper=bound>[hidden[1], M] W_raw; // W, or W unscaled
  vector<lower=W_deep_lower, upper=bound>[deep_size(hidden)] W_deep; // later
  vector<lower=-bound, upper=bound>[L] b_low; // lowest bias of each layer
  vector<lower=0, upper=step_bound>[sum(hidden) - L] b_step; // to the next one
  matrix<lower=V_lower, upper=bound>[K, hidden[L]] V; // last layer to outputs
  vector<lower=-bound, upper=bound>[K] c; // output biases
  vector<lower=0>[likelihood == normal_likelihood()] sigma; // noise
}
transformed parameters {
  matrix[hidden[1], M] W; // inputs to first layer
  vector[sum(hidden)] b // hidden biases
    = ordered_biases(hidden, b_low, b_step, one, bound);
  if (ard) {
    W = diag_post_multiply(W_raw, input_scale);
  } else {
    W = W_raw;
  }
}
model {
  // Jacobian of the biases' coordinates.
  target += ordered_log_det(hidden, b, one, bound);
  // Prior: constants of the family, then the terms with the scale.
  target += positive_prior_constant(num_elements(input_scale),
                                    student_t_prior());
  target += prior_constant(num_elements(W_raw), prior_family);
  target += prior_constant(num_elements(W_deep), prior_family);
  target += prior_constant(num_elements(b_low), prior_family);
  target += prior_constant(num_elements(b_step), prior_family);
  target += prior_constant(num_elements(V), prior_family);
  target += prior_constant(num_elements(c), prior_family);
  target += positive_prior_constant(num_elements(sigma), normal_prior());
  target += prior_kernel(input_scale, student_t_prior(), prior_scale, 4);
  target += weights_prior_kernel(W_raw, W_deep, b, V, c, prior_family,
                                 raw_scale, prior_scale, prior_nu);
  target += prior_kernel(sigma, normal_prior(), sigma_scale, 1);
  target += log_copies;
  if (!prior_only) {
    target += network_log_likelihood(X1, hidden, activation, likelihood,
                                     y_int, y_real, W, b, W_deep, V, c,
                                     sigma);
  }
}
generated quantities {
  #include network_log_lik.stanblock
}
