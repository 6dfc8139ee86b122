// Bayesian neural network of relu units whose incoming weights have length 1
// and whose biases increase within every hidden layer. The prior is that of
// mlp.stan, with the lengths of its weights kept as r: of the copies of a
// network by permutation and by the scale of its units, it holds one.
// target +=, not ~: an evidence needs the constants that CmdStan drops from ~.
// priors.stanfunctions says why they are terms of their own.
functions {
  #include network.stanfunctions
  #include priors.stanfunctions
  #include likelihoods.stanfunctions
  #include network_likelihood.stanfunctions
  #include ordered.stanfunctions
  #include unit_norm.stanfunctions
}
data {
  #include network_data.stanblock
  int<lower=1> L; // hidden layers
  array[L] int<lower=1> hidden; // units in each hidden layer
  int<lower=3, upper=3> activation; // 3 relu
  int<lower=0, upper=1> ard; // 1: sample a scale for every input
}
transformed data {
  matrix[input_rows(N), M + 1] X1 = network_inputs(X); // with a bias column
  int n_deep = deep_size(hidden); // weights between hidden layers
  array[n_deep] int after = units_after(hidden); // units of rows of W_deep
  array[n_deep + hidden[L] * K] int before // units of columns of W_deep, V
    = units_before(append_array(hidden, {K}));
  real bound = prior_bound(prior_family, prior_scale); // of all weights
  real raw_scale = ard ? 1 : prior_scale; // of W_raw
  real step_bound = prior_bound(prior_family, 1); // of b_step
  vector[sum(hidden)] power // of r in the Jacobian
    = length_powers(append_array(hidden, {K}), bound);
  real log_copies = 0; // copies left out
  for (l in 1:L) {
    log_copies += lgamma(hidden[l] + 1);
  }
}
parameters {
  vector<lower=0>[ard ? M : 0] input_scale; // scales of the inputs' weights
  matrix<lower=-bound, upper=bound>[hidden[1], M] W_raw; // r W, or unscaled
  vector<lower=-bound, upper=bound>[n_deep] W_deep_raw; // r W_deep, or relative
  vector<lower=-bound, upper=bound>[L] b_low; // lowest bias of each layer
  vector<lower=0, upper=step_bound>[sum(hidden) - L] b_step; // to the next one
  matrix<lower=-bound, upper=bound>[K, hidden[L]] V_raw; // V, or relative
  vector<lower=-bound, upper=bound>[K] c; // output biases
  vector<lower=0>[likelihood == normal_likelihood()] sigma; // noise
}
transformed parameters {
  vector[sum(hidden)] r; // lengths of the raw weights into each hidden unit
  matrix[hidden[1], M] W; // inputs to first layer, rows of length 1
  vector[n_deep] W_deep; // later layers, each by columns, rows of length 1
  vector[sum(hidden)] b; // hidden biases
  matrix[K, hidden[L]] V = V_raw; // last layer to outputs
  if (ard) {
    W = diag_post_multiply(W_raw, input_scale);
  } else {
    W = W_raw;
  }
  r = incoming_lengths(hidden, W, W_deep_raw, bound);
  W = diag_pre_multiply(inv(head(r, hidden[1])), W);
  W_deep = W_deep_raw ./ r[after];
  if (prior_family == uniform_prior()) { // raw weights are relative to r
    W_deep = W_deep .* r[before[1:n_deep]];
    V = diag_post_multiply(V, tail(r, hidden[L]));
  }
  b = ordered_biases(hidden, b_low, b_step, r, bound);
}
model {
  // Weights of the unconstrained network, in place of W_deep and V.
  vector[n_deep + hidden[L] * K] w
    = append_row(W_deep .* r[after], to_vector(V)) ./ r[before];
  // Jacobian of the unconstrained weights given the coordinates.
  target += ordered_log_det(hidden, b, r, bound);
  target += dot_product(power, log(r));
  // Prior: constants of the family, then the terms with the scale.
  target += positive_prior_constant(num_elements(input_scale),
                                    student_t_prior());
  target += prior_constant(num_elements(W_raw), prior_family);
  target += prior_constant(num_elements(W_deep_raw), prior_family);
  target += prior_constant(num_elements(b_low), prior_family);
  target += prior_constant(num_elements(b_step), prior_family);
  target += prior_constant(num_elements(V_raw), prior_family);
  target += prior_constant(num_elements(c), prior_family);
  target += positive_prior_constant(num_elements(sigma), normal_prior());
  target += prior_kernel(input_scale, student_t_prior(), prior_scale, 4);
  target += prior_kernel(to_vector(W_raw), prior_family, raw_scale, prior_nu);
  target += prior_kernel(append_row(w, append_row(b .* r, c)), prior_family,
                         prior_scale, prior_nu);
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
