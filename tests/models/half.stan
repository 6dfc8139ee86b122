// Rejects half of the real line: the square root of a negative number is not a number.
data {
  int<lower=1> N;
  vector[N] y;
}
parameters {
  real mu;
}
model {
  mu ~ normal(0, 2);
  y ~ normal(sqrt(mu)^2, 1);
}
