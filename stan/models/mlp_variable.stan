// Bayesian neural network with one hidden layer of which only the first units
// are active, 1 to H of them: unit j + 1 can be active only if unit j is, as
// in Mueller and Rios Insua (1998). The density is summed over their number.
// Units that are not active keep the prior of their weights, which integrates
// to one (a pseudo-prior equal to the prior, Carlin and Chib 1995). Every
// weight and bias has the prior that it has in mlp.stan.
// target +=, not ~: an evidence needs the constants that CmdStan drops from ~.
// priors.stanfunctions says why they are terms of their own.
functions {
  #include network.stanfunctions
  #include priors.stanfunctions
  #include weight_priors.stanfunctions
  #include likelihoods.stanfunctions
  #include network_likelihood.stanfunctions
  #include variable.stanfunctions
}
data {
  #include network_data.stanblock
  int<lower=1, upper=1> L; // hidden layers: one
  array[L] int<lower=1> hidden; // most units that can be active
  int<lower=1, upper=3> activation; // 1 sigmoid, 2 tanh, 3 relu
  vector<upper=0>[hidden[1]] log_prior_active; // log prior of 1, 2, ... units
  int<lower=0, upper=1> ard; // 1: sample a scale for every input
}
transformed data {
  matrix[input_rows(N), M + 1] X1 = network_inputs(X); // with a bias column
  int H = hidden[1]; // most units that can be active
  real bound = prior_bound(prior_family, prior_scale); // of all weights
  real raw_scale = ard ? 1 : prior_scale; // of W_raw
  vector[H] log_prior // of 1, 2, ... active units, normalised
    = log_prior_active - log_sum_exp(log_prior_active);
}
parameters {
  vector<lower=0>[ard ? M : 0] input_scale; // scales of the inputs' weights
  matrix<lower=-bound, upper=bound>[H, M] W_raw; // W, or W unscaled
  vector<lower=-bound, upper=bound>[H] b; // hidden biases
  matrix<lower=-bound, upper=bound>[K, H] V; // hidden layer to outputs
  vector<lower=-bound, upper=bound>[K] c; // output biases
  vector<lower=0>[likelihood == normal_likelihood()] sigma; // noise
}
transformed parameters {
  matrix[H, M] W; // inputs to hidden layer
  real log_marginal; // log likelihood, summed over the number of units
  vector[H] p_active; // probabilities of 1, 2, ... units given the weights
  if (ard) {
    W = diag_post_multiply(W_raw, input_scale);
  } else {
    W = W_raw;
  }
  {
    vector[H] log_joint = log_prior; // with the likelihood of 1, 2, ... units
    if (!prior_only) {
      log_joint += active_log_likelihoods(H, y_int, y_real, likelihood, X1,
                                          activation, W, b, V, c, sigma);
    }
    log_marginal = log_sum_exp(log_joint);
    p_active = softmax(log_joint);
  }
}
model {
  // Prior: constants of the family, then the terms with the scale.
  target += positive_prior_constant(num_elements(input_scale),
                                    student_t_prior());
  target += prior_constant(num_elements(W_raw), prior_family);
  target += prior_constant(num_elements(b), prior_family);
  target += prior_constant(num_elements(V), prior_family);
  target += prior_constant(num_elements(c), prior_family);
  target += positive_prior_constant(num_elements(sigma), normal_prior());
  target += prior_kernel(input_scale, student_t_prior(), prior_scale, 4);
  target += weights_prior_kernel(W_raw, rep_vector(0, 0), b, V, c,
                                 prior_family, raw_scale, prior_scale,
                                 prior_nu);
  target += prior_kernel(sigma, normal_prior(), sigma_scale, 1);
  target += log_marginal;
}
generated quantities {
  // The sum over the number of units does not factorise over observations.
  // The term of one is its density given the weights and all the others,
  // p(y) / p(y without y[n]): what leave-one-out needs (Buerkner, Gabry and
  // Vehtari 2021).
  vector[save_log_lik ? N : 0] log_lik; // log p(y[n] | weights, other y)
  if (save_log_lik) {
    matrix[N, H] by_units // log likelihoods under 1, 2, ... active units
      = pointwise_active_log_likelihoods(H, y_int, y_real, likelihood, X1,
                                         activation, W, b, V, c, sigma);
    vector[H] log_joint // with the prior of the number of units
      = log_prior + (rep_row_vector(1, N) * by_units)';
    real all = log_sum_exp(log_joint); // log density of all observations
    for (n in 1:N) {
      log_lik[n] = all - log_sum_exp(log_joint - by_units[n]');
    }
  }
}
