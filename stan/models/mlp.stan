// Bayesian neural network: fully connected, any number of hidden layers.
// Every weight and bias has the same prior, independently; with ard, weights
// from an input are normal with a scale of their own.
functions {
  #include network.stanfunctions
  #include priors.stanfunctions
  #include weight_priors.stanfunctions
  #include likelihoods.stanfunctions
  #include network_likelihood.stanfunctions
}
data {
  int<lower=0> N; // observations
  int<lower=1> M; // inputs
  int<lower=1> L; // hidden layers
  int<lower=1> K; // outputs: classes (categorical), otherwise 1
  array[L] int<lower=1> hidden; // units in each hidden layer
  int<lower=1, upper=3> activation; // 1 sigmoid, 2 tanh, 3 relu
  int<lower=1, upper=3> likelihood; // 1 Bernoulli, 2 categorical, 3 normal
  int<lower=1, upper=4> prior_family; // normal, uniform, Laplace, Student-t
  real<lower=0> prior_scale; // standard deviation, bound of (-B, B), or scale
  real<lower=0> prior_nu; // degrees of freedom of Student-t
  int<lower=0, upper=1> ard; // 1: sample a scale for every input
  real<lower=0> sigma_scale; // scale of the half-normal prior on sigma
  matrix[N, M] X; // inputs
  array[likelihood == 3 ? 0 : N] int<lower=0> y_int; // 0/1, or class 1:K
  vector[likelihood == 3 ? N : 0] y_real; // outcomes of the normal likelihood
  int<lower=0, upper=1> prior_only; // 1: leave the likelihood out
  int<lower=0, upper=1> save_log_lik; // 1: save log_lik with every draw
}
transformed data {
  matrix[input_rows(N), M + 1] X1 = network_inputs(X); // with a bias column
  real bound = prior_family == 2 ? prior_scale : positive_infinity();
  real raw_scale = ard ? 1 : prior_scale; // of W_raw
}
parameters {
  vector<lower=0>[ard ? M : 0] input_scale; // scales of the inputs' weights
  matrix<lower=-bound, upper=bound>[hidden[1], M] W_raw; // W, or W unscaled
  vector<lower=-bound, upper=bound>[deep_size(hidden)] W_deep; // later layers
  vector<lower=-bound, upper=bound>[sum(hidden)] b; // hidden biases
  matrix<lower=-bound, upper=bound>[K, hidden[L]] V; // last layer to outputs
  vector<lower=-bound, upper=bound>[K] c; // output biases
  vector<lower=0>[likelihood == 3] sigma; // noise of the normal likelihood
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
  target += positive_prior_constant(num_elements(input_scale), 4);
  target += prior_constant(num_elements(W_raw), prior_family);
  target += prior_constant(num_elements(W_deep), prior_family);
  target += prior_constant(num_elements(b), prior_family);
  target += prior_constant(num_elements(V), prior_family);
  target += prior_constant(num_elements(c), prior_family);
  target += positive_prior_constant(num_elements(sigma), 1);
  target += prior_kernel(input_scale, 4, prior_scale, 4);
  target += weights_prior_kernel(W_raw, W_deep, b, V, c, prior_family,
                                 raw_scale, prior_scale, prior_nu);
  target += prior_kernel(sigma, 1, sigma_scale, 1);
  if (!prior_only) {
    target += network_log_likelihood(X1, hidden, activation, likelihood,
                                     y_int, y_real, W, b, W_deep, V, c,
                                     sigma);
  }
}
generated quantities {
  vector[save_log_lik ? N : 0] log_lik; // log likelihood of each observation
  if (save_log_lik) {
    log_lik = network_pointwise_log_likelihood(X1, hidden, activation,
                                               likelihood, y_int, y_real, W,
                                               b, W_deep, V, c, sigma);
  }
}
