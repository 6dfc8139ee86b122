// Normal(0, 1) with an admixture of normal(mu, 1), whose share p and location
// mu are free: p ~ uniform(0, 1), mu ~ normal(0, 2) above mu_least. Where p or
// mu is 0 there is no admixture: on both lines the outcomes are normal(0, 1).
// target +=, not ~: an evidence needs the constants that CmdStan drops from ~.
data {
  int<lower=0> N; // observations
  vector[N] y; // outcomes
  real mu_least; // least location; minus infinity: any
  int<lower=0, upper=1> prior_only; // 1: leave the likelihood out
  int<lower=0, upper=1> save_log_lik; // 1: save log_lik with every draw
}
parameters {
  real<lower=0, upper=1> p; // share of the admixture
  real<lower=mu_least> mu; // location of the admixture
}
model {
  target += uniform_lpdf(p | 0, 1);
  target += normal_lpdf(mu | 0, 2);
  target += -normal_lccdf(mu_least | 0, 2); // what the bound cuts off
  if (!prior_only) {
    for (n in 1:N) {
      target += log_sum_exp(log(p) + normal_lpdf(y[n] | mu, 1),
                            log1m(p) + normal_lpdf(y[n] | 0, 1));
    }
  }
}
generated quantities {
  vector[save_log_lik ? N : 0] log_lik; // log likelihood of each observation
  if (save_log_lik) {
    for (n in 1:N) {
      log_lik[n] = log_mix(p, normal_lpdf(y[n] | mu, 1),
                           normal_lpdf(y[n] | 0, 1));
    }
  }
}
