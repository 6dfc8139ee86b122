// Two Gaussian peaks of unit width on the first axis, under a wide prior; the
// program has no observations and no log_lik.
data {
  real<lower=0> distance; // between the peaks
  real<lower=0, upper=1> share; // evidence share of the right peak
  int<lower=0, upper=1> prior_only; // 1: leave the likelihood out
}
parameters {
  vector[2] x;
}
model {
  target += normal_lpdf(x | 0, 10);
  if (!prior_only) {
    target += normal_lpdf(x[2] | 0, 1);
    target += log_mix(share, normal_lpdf(x[1] | distance / 2, 1),
                      normal_lpdf(x[1] | -distance / 2, 1));
  }
}
