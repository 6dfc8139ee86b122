// Location of a Cauchy distribution of scale 1, under a normal prior. Data that
// come half from -10 and half from 10 give it a mode at each of the two.
// target +=, not ~: an evidence needs the constants that CmdStan drops from ~.
data {
  int<lower=0> N; // observations
  vector[N] y; // outcomes
  int<lower=0, upper=1> prior_only; // 1: leave the likelihood out
  int<lower=0, upper=1> save_log_lik; // 1: save log_lik with every draw
}
parameters {
  real mu; // location
}
model {
  target += normal_lpdf(mu | 0, 10);
  if (!prior_only) {
    target += cauchy_lpdf(y | mu, 1);
  }
}
generated quantities {
  vector[save_log_lik ? N : 0] log_lik; // log likelihood of each observation
  if (save_log_lik) {
    for (n in 1:N) {
      log_lik[n] = cauchy_lpdf(y[n] | mu, 1);
    }
  }
}
