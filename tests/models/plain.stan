// As plain as a program can be: no data, no log_lik, no prior_only switch.
parameters {
  real x;
  real<lower=0> s;
}
model {
  x ~ normal(0, 1);
  s ~ exponential(1);
}
