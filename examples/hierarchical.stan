// A network inside a larger model: measurements in groups (patients, sites,
// batches). Their mean is a network of the inputs, the same for all groups,
// plus an effect of the group, and the effects have a normal distribution
// whose scale is sampled.
// The likelihood is manymodes' own, so that the kernel computes it: group
// effects are weights from the inputs to the output (S), where a group is an
// input that is 0 or 1, and no hidden unit sees it.
functions {
  #include network.stanfunctions
  #include priors.stanfunctions
  #include likelihoods.stanfunctions
  #include outcomes.stanfunctions
  #include general_likelihood.stanfunctions
}
data {
  int<lower=1> N; // observations
  int<lower=1> M; // inputs
  int<lower=1> J; // groups
  int<lower=1> H; // hidden units
  matrix[N, M] X; // inputs, standardised
  array[N] int<lower=1, upper=J> group; // group of each observation
  vector[N] y; // outcomes, standardised
  int<lower=0, upper=1> prior_only; // 1: leave the likelihood out
}
transformed data {
  matrix[N, M + J] XJ = append_col(X, rep_matrix(0, N, J));
  matrix[input_rows(N), M + J + 1] X1; // as the likelihood takes them
  array[0] int none; // no counts
  for (n in 1:N) {
    XJ[n, M + group[n]] = 1;
  }
  X1 = network_inputs(XJ);
}
parameters {
  matrix[H, M] W; // inputs to hidden units
  vector[H] b; // hidden biases
  matrix[1, H] V; // hidden units to the output
  vector[1] c; // output bias
  vector[J] z; // group effects, divided by their scale
  real<lower=0> tau; // scale of the group effects
  real<lower=0> sigma; // noise
}
transformed parameters {
  vector[J] effect = tau * z; // group effects
}
model {
  target += normal_lpdf(to_vector(W) | 0, 1);
  target += normal_lpdf(b | 0, 1);
  target += normal_lpdf(to_vector(V) | 0, inv_sqrt(H));
  target += normal_lpdf(c | 0, 1);
  target += normal_lpdf(z | 0, 1);
  target += normal_lpdf(tau | 0, 1) - normal_lccdf(0 | 0, 1);
  target += normal_lpdf(sigma | 0, 1) - normal_lccdf(0 | 0, 1);
  if (!prior_only) {
    target += general_log_likelihood(X1, {H}, tanh_activation(),
                                     normal_likelihood(), none, y, none,
                                     rep_vector(0, 0), rep_vector(0, 0), 1,
                                     append_col(W, rep_matrix(0, H, J)), b,
                                     rep_vector(0, 0), V, c,
                                     append_col(rep_matrix(0, 1, M),
                                                to_matrix(effect, 1, J)),
                                     rep_vector(sigma, 1));
  }
}
generated quantities {
  vector[N] log_lik // log likelihood of each observation
    = general_pointwise_log_likelihood(X1, {H}, tanh_activation(),
                                       normal_likelihood(), none, y, none,
                                       rep_vector(0, 0), rep_vector(0, 0), 1,
                                       append_col(W, rep_matrix(0, H, J)), b,
                                       rep_vector(0, 0), V, c,
                                       append_col(rep_matrix(0, 1, M),
                                                  to_matrix(effect, 1, J)),
                                       rep_vector(sigma, 1));
  vector[N] y_rep; // outcomes of new measurements at the same inputs
  for (n in 1:N) {
    real mean = c[1] + effect[group[n]];
    for (h in 1:H) {
      mean += V[1, h] * tanh(dot_product(X[n], W[h]) + b[h]);
    }
    y_rep[n] = normal_rng(mean, sigma);
  }
}
