// A density with a closed form, containers of every shape, transformed
// parameters and generated quantities.
data {
  int<lower=0> N; // observations
  matrix[N, 2] X; // inputs
  vector[N] y; // outputs
}
parameters {
  vector[2] beta; // coefficients
  real<lower=0> sigma; // noise
  matrix[2, 3] A; // of no use but for its shape
  array[2] vector[2] pairs; // likewise
}
transformed parameters {
  vector[N] mean_y = X * beta;
}
model {
  beta ~ normal(0, 2);
  sigma ~ exponential(1);
  to_vector(A) ~ std_normal();
  for (i in 1 : 2) {
    pairs[i] ~ normal(0, exp(beta[i]));
  }
  y ~ normal(mean_y, sigma);
}
generated quantities {
  real log_sigma = log(sigma);
  vector[N] y_rep;
  for (n in 1 : N) {
    y_rep[n] = normal_rng(mean_y[n], sigma);
  }
}
