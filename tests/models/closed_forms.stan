// Posteriors with a known evidence, and failures on demand.
data {
  int<lower=1, upper=2> kind; // 1 mean of a normal, 2 Bernoulli probability
  int<lower=0> N; // observations
  array[N] real y; // outcomes; 0 or 1 for kind 2
  vector<lower=0>[2] prior; // sd of the mean and of an outcome; Beta shapes
  int<lower=0, upper=1> prior_only; // 1: leave the likelihood out
  real<lower=0, upper=1> unlucky; // share of the seeds that fail at once
  int<lower=0, upper=1> rejects; // 1: reject every point
}
transformed data {
  array[N] int hits;
  for (n in 1 : N) {
    hits[n] = y[n] > 0.5;
  }
  if (uniform_rng(0, 1) < unlucky) {
    reject("this seed is unlucky");
  }
}
parameters {
  array[kind == 1] real mu;
  array[kind == 2] real<lower=0, upper=1> theta;
}
model {
  if (rejects) {
    reject("every point is rejected");
  }
  if (kind == 1) {
    target += normal_lpdf(mu | 0, prior[1]);
    if (!prior_only) {
      target += normal_lpdf(y | mu[1], prior[2]);
    }
  } else {
    target += beta_lpdf(theta | prior[1], prior[2]);
    if (!prior_only) {
      target += bernoulli_lpmf(hits | theta[1]);
    }
  }
}
generated quantities {
  vector[N] log_lik;
  for (n in 1 : N) {
    log_lik[n] = kind == 1 ? normal_lpdf(y[n] | mu[1], prior[2])
                           : bernoulli_lpmf(hits[n] | theta[1]);
  }
}
