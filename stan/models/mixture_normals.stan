// Mixture of K normal components with known weights, and with free locations
// and scales: mu ~ normal(0, mu_sd), log_sigma ~ normal(0, log_sigma_sd). With
// equal weights every mode has K! copies, one for each order of the labels;
// mixture_normals_ordered.stan keeps one of them.
// target +=, not ~: an evidence needs the constants that CmdStan drops from ~.
// priors.stanfunctions says why they are terms of their own.
functions {
  #include priors.stanfunctions
}
data {
  int<lower=0> N; // observations
  vector[N] y; // outcomes
  int<lower=1> K; // components
  simplex[K] theta; // weights of the components
  real<lower=0> mu_sd; // prior standard deviation of mu
  real<lower=0> log_sigma_sd; // prior standard deviation of log_sigma
  int<lower=0, upper=1> prior_only; // 1: leave the likelihood out
  int<lower=0, upper=1> save_log_lik; // 1: save log_lik with every draw
}
transformed data {
  vector[K] log_theta = log(theta);
}
parameters {
  vector[K] mu; // locations
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
