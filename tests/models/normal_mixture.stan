// A mixture of K normal components with exchangeable priors: K! copies of
// every mode, each with the same evidence.
data {
  int<lower=1> N;  // observations
  vector[N] y;
  int<lower=1> K;  // components
  int<lower=0, upper=1> prior_only;  // leave the likelihood out
}
parameters {
  simplex[K] share;
  vector[K] mu;
  vector<lower=0>[K] sigma;
}
model {
  share ~ dirichlet(rep_vector(1, K));
  mu ~ normal(0, 5);
  sigma ~ lognormal(0, 1);
  if (!prior_only) {
    for (n in 1:N) {
      vector[K] terms = log(share);
      for (k in 1:K) {
        terms[k] += normal_lpdf(y[n] | mu[k], sigma[k]);
      }
      target += log_sum_exp(terms);
    }
  }
}
