// Bayesian neural network: fully connected, any number of hidden layers.
// Every weight and bias has the same prior, independently; with ard, weights
// from an input are normal with a scale of their own.
// target +=, not ~: an evidence needs the constants that CmdStan drops from ~.
// priors.stanfunctions says why they are terms of their own.
functions {
  #include network.stanfunctions
  #include priors.stanfunctions
  #include weight_priors.stanfunctions
  #include likelihoods.stanfunctions
  #include network_likelihood.stanfunctions
}
data {
  #include network_data.stanblock
  int<lower=1> L; // hidden layers
  array[L] int<lower=1> hidden; // units in each hidden layer
  int<lower=1, upper=3> activation; // 1 sigmoid, 2 tanh, 3 relu
  int<lower=0, upper=1> ard; // 1: sample a scale for every input
}
transformed data {
  matrix[input_rows(N), M + 1] X1 = network_inputs(X); // with a bias column
  real bound = prior_bound(prior_family, prior_scale); // of all weights
  real raw_scale = ard ? 1 : prior_scale; // of W_raw
}
parameters {
  vector<lower=0>[ard ? M : 0] input_scale; // scales of the inputs' weights
  matrix<lower=-bound, upper=bound>[hidden[1], M] W_raw; // W, or W unscaled
  vector<lower=-bound, upper=bound>[deep_size(hidden)] W_deep; // later layers
  vector<lower=-bound, upper=bound>[sum(hidden)] b; // hidden biases
  matrix<lower=-bound, upper=bound>[K, hidden[L]] V; // last layer to outputs
  vector<lower=-bound, upper=bound>[K] c; // output biases
  vector<lower=0>[likelihood == normal_likelihood()] sigma; // noise
}
transformed parameters {
  matrix[hidden[1], M] W; // inputs to first layer
  if (ard) {
    W = diag_post_multiply(W_raw, input_scale);
  } else {
    W = W_raw;
  }
}
model {
  // Prior: constants of the family, then the terms with the scale.
  target += positive_prior_constant(num_elements(input_scale),
                                    student_t_prior());
  target += prior_constant(num_elements(W_raw), prior_family);
  target += prior_constant(num_elements(W_deep), prior_family);
  target += prior_constant(num_elements(b), prior_family);
  target += prior_constant(num_elements(V), prior_family);
  target += prior_constant(num_elements(c), prior_family);
  target += positive_prior_constant(num_elements(sigma), normal_prior());
  target += prior_kernel(input_scale, student_t_prior(), prior_scale, 4);
  target += weights_prior_kernel(W_raw, W_deep, b, V, c, prior_family,
                                 raw_scale, prior_scale, prior_nu);
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
