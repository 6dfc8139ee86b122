// Mixture of K normal components with equal weights, whose locations increase.
// The prior is that of mixture_normals.stan: of the K! copies of a mode by the
// order of the labels, it holds one. (Only equal weights have these copies.)
// target +=, not ~: an evidence needs the constants that CmdStan drops from ~.
// priors.stanfunctions says why they are terms of their own.
functions {
  #include priors.stanfunctions
}
data {
  int<lower=0> N; // observations
  vector[N] y; // outcomes
  int<lower=1> K; // components
  real<lower=0> mu_sd; // prior standard deviation of mu
  real<lower=0> log_sigma_sd; // prior standard deviation of log_sigma
  int<lower=0, upper=1> prior_only; // 1: leave the likelihood out
  int<lower=0, upper=1> save_log_lik; // 1: save log_lik with every draw
}
transformed data {
  vector[K] log_theta = rep_vector(-log(K), K); // equal weights
}
parameters {
  ordered[K] mu; // locations
  vector[K] log_sigma; // logs of the scales
}
transformed parameters {
  vector<lower=0>[K] sigma = exp(log_sigma); // scales
}
model {
  // Prior: constants of the family, then the terms with the scale.
  target += prior_constant(num_elements(mu), normal_prior());
  target += prior_constant(num_elements(log_sigma), normal_prior());
  target += prior_kernel(mu, normal_prior(), mu_sd, 1);
  target += prior_kernel(log_sigma, normal_prior(), log_sigma_sd, 1);
  target += lgamma(K + 1); // log of K!: copies left out
  if (!prior_only) {
    for (n in 1:N) {
      vector[K] terms = log_theta; // log of weight times density
      for (k in 1:K) {
        terms[k] += normal_lpdf(y[n] | mu[k], sigma[k]);
      }
      target += log_sum_exp(terms);
    }
  }
}
generated quantities {
  vector[save_log_lik ? N : 0] log_lik; // log likelihood of each observation
  if (save_log_lik) {
    for (n in 1:N) {
      vector[K] terms = log_theta; // log of weight times density
      for (k in 1:K) {
        terms[k] += normal_lpdf(y[n] | mu[k], sigma[k]);
      }
      log_lik[n] = log_sum_exp(terms);
    }
  }
}
