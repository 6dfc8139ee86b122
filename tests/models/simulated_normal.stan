// The mean of normal outcomes, which simulates them, too.
data {
  int<lower=0> N; // observations
  vector[N] x; // weight of the mean in each
  vector[N] y; // outcomes
  array[N] int<lower=0> counts; // of no matter but to be simulated
  int<lower=0, upper=1> prior_only; // 1: leave the likelihood out
}
parameters {
  real mu;
}
model {
  mu ~ normal(0, 2);
  if (!prior_only) {
    y ~ normal(mu * x, 1);
    counts ~ poisson(3);
  }
}
generated quantities {
  vector[N] y_rep;
  array[N] int counts_sim;
  for (n in 1 : N) {
    y_rep[n] = normal_rng(mu * x[n], 1);
    counts_sim[n] = poisson_rng(3);
  }
}
