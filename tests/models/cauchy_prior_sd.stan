// cauchy_location.stan with the prior's standard deviation as data.
data {
  int<lower=0> N;  // observations
  vector[N] y;
  real<lower=0> prior_sd;
}
parameters {
  real mu;
}
model {
  mu ~ normal(0, prior_sd);
  y ~ cauchy(mu, 1);
}
