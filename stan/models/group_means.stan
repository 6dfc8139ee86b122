// Means of J groups that have a normal distribution themselves: of each group
// there is an estimate and its standard error, as in the eight schools of
// Rubin (1981). The parameters are the means (centred), or their distances
// from mu in units of tau (not centred): the same model either way.
// target +=, not ~: an evidence needs the constants that CmdStan drops from ~.
data {
  int<lower=1> J; // groups
  vector[J] y; // estimate of the mean of each group
  vector<lower=0>[J] s; // its standard error
  real<lower=0> mu_sd; // prior standard deviation of mu
  real<lower=0> tau_sd; // scale of the half-normal prior of tau
  int<lower=0, upper=1> centred; // 1: z are the means, 0: (means - mu) / tau
  int<lower=0, upper=1> prior_only; // 1: leave the likelihood out
  int<lower=0, upper=1> save_log_lik; // 1: save log_lik with every draw
}
parameters {
  real mu; // mean of all groups
  real<lower=0> tau; // standard deviation of the groups' means
  vector[J] z; // means, or their distances from mu in units of tau
}
transformed parameters {
  vector[J] theta; // mean of each group
  if (centred) {
    theta = z;
  } else {
    theta = mu + tau * z;
  }
}
model {
  target += normal_lpdf(mu | 0, mu_sd);
  target += normal_lpdf(tau | 0, tau_sd) - normal_lccdf(0 | 0, tau_sd);
  if (centred) {
    target += normal_lpdf(z | mu, tau);
  } else {
    target += std_normal_lpdf(z);
  }
  if (!prior_only) {
    target += normal_lpdf(y | theta, s);
  }
}
generated quantities {
  vector[save_log_lik ? J : 0] log_lik; // log likelihood of each estimate
  if (save_log_lik) {
    for (j in 1:J) {
      log_lik[j] = normal_lpdf(y[j] | theta[j], s[j]);
    }
  }
}
