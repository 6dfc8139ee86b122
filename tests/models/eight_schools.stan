// Rubin's eight schools in the centred form: a funnel.
data {
  int<lower=1> J;  // schools
  vector[J] y;
  vector<lower=0>[J] s;
  int<lower=0, upper=1> prior_only;  // leave the likelihood out
}
parameters {
  real mu;
  real<lower=0> tau;
  vector[J] theta;
}
model {
  mu ~ normal(0, 5);
  tau ~ exponential(0.2);
  theta ~ normal(mu, tau);
  if (!prior_only) {
    y ~ normal(theta, s);
  }
}
