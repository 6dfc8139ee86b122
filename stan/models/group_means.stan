// Means of J groups that have a normal distribution themselves: of each group
// there is an estimate and its standard error, as in the eight schools of
// Rubin (1981). The parameters are the means (centred), or their distances
// from mu in units of tau (not centred): the same model either way.
// target +=, not ~: an evidence needs the constants that CmdStan drops from ~.
// priors.stanfunctions says why they are terms of their own.
functions {
  #include priors.stanfunctions
}
data {
  int<lower=1> J; // groups
  vector[J] y; // estimate of the mean of each group
  vector<lower=0>[J] s; // its standard error
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
  // Prior: constants of the family, then the terms with the scale.
  target += prior_constant(1, normal_prior());
  target += positive_prior_constant(1, normal_prior());
  target += prior_kernel([mu]', normal_prior(), 5, 1);
  target += prior_kernel([tau]', normal_prior(), tau_sd, 1);
  target += prior_constant(J, normal_prior());
  if (centred) {
    target += prior_kernel((z - mu) / tau, normal_prior(), 1, 1);
    target += -J * log(tau); // Jacobian of (z - mu) / tau
  } else {
    target += prior_kernel(z, normal_prior(), 1, 1);
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
