// A mixture of K equal normals with exchangeable means: K! copies of every mode.
data {
  int<lower=1> N;  // observations
  vector[N] y;
  int<lower=1> K;  // components
  real<lower=0> prior_sd;
  real<lower=0> noise;
  int<lower=0, upper=1> prior_only;  // leave the likelihood out
}
parameters {
  vector[K] mu;
}
model {
  mu ~ normal(0, prior_sd);
  if (!prior_only) {
    for (n in 1:N) {
      vector[K] terms;
      for (k in 1:K) {
        terms[k] = normal_lpdf(y[n] | mu[k], noise);
      }
      target += log_sum_exp(terms) - log(K);
    }
  }
}
