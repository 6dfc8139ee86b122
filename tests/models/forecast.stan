// The mean of normal outcomes, new outcomes whose distribution is known, and
// generated quantities that go wrong on demand.
data {
  int<lower=0> N; // observations
  vector[N] y; // outcomes, of variance 1
  int<lower=0> M; // new outcomes
  int<lower=0> K; // other parameters
  real top; // upper bound of the mean
  real reject_above; // generated quantities throw for means above it
  real nan_above; // odd and the first log_lik are NaN for means above it
  real inf_above; // odd is infinite for means above it
}
parameters {
  real<upper=top> mu;
  vector[K] other;
}
model {
  mu ~ normal(0, 2) T[ , top];
  other ~ std_normal();
  y ~ normal(mu, 1);
}
generated quantities {
  vector[N] log_lik;
  vector[M] y_new;
  matrix[2, 2] table = [[mu, 2 * mu], [3 * mu, 4 * mu]];
  real odd = mu;
  int positive = mu > 0;
  for (n in 1 : N) {
    log_lik[n] = normal_lpdf(y[n] | mu, 1);
  }
  for (m in 1 : M) {
    y_new[m] = normal_rng(mu, 1);
  }
  if (mu > nan_above) {
    odd = not_a_number();
    if (N > 0) {
      log_lik[1] = not_a_number();
    }
  } else if (mu > inf_above) {
    odd = positive_infinity();
  }
  if (mu > reject_above) {
    reject("the mean is too large");
  }
}
