// Two Cauchy distributions of scale 1, mixed with an unknown weight: what
// cauchy_location.stan lacks where the data come from two places. The locations
// are ordered and their prior renormalised, so that each mixture counts once.
// target +=, not ~: an evidence needs the constants that CmdStan drops from ~.
data {
  int<lower=0> N; // observations
  vector[N] y; // outcomes
  int<lower=0, upper=1> prior_only; // 1: leave the likelihood out
  int<lower=0, upper=1> save_log_lik; // 1: save log_lik with every draw
}
parameters {
  ordered[2] mu; // locations
  real<lower=0, upper=1> theta; // share of the observations around mu[1]
}
model {
  // One of the two orders: twice the density of independent locations.
  target += normal_lpdf(mu | 0, 10) + log(2);
  target += beta_lpdf(theta | 1, 1);
  if (!prior_only) {
    for (n in 1:N) {
      target += log_sum_exp(log(theta) + cauchy_lpdf(y[n] | mu[1], 1),
                            log1m(theta) + cauchy_lpdf(y[n] | mu[2], 1));
    }
  }
}
generated quantities {
  vector[save_log_lik ? N : 0] log_lik; // log likelihood of each observation
  if (save_log_lik) {
    for (n in 1:N) {
      log_lik[n] = log_sum_exp(log(theta) + cauchy_lpdf(y[n] | mu[1], 1),
                               log1m(theta) + cauchy_lpdf(y[n] | mu[2], 1));
    }
  }
}
