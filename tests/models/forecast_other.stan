// The parameters of forecast.stan in another order and without the bound, with
// another generated quantity and no log_lik.
data {
  int<lower=0> K; // other parameters
  real factor;
}
parameters {
  vector[K] other;
  real mu;
}
model {
  other ~ std_normal();
  mu ~ normal(0, 2);
}
generated quantities {
  real scaled = factor * mu;
}
