// Programs in one: priors that are flat or improper in other ways (kinds 1 to 9), and
// likelihoods that have plateaus or no bound (kinds 10 to 14).
data {
  int<lower=0> kind;      // see below
  int prior_only;         // 1: leave the likelihood out
  vector[3] y;
}
parameters {
  vector[2] b;
  real<lower=0> sigma;
}
model {
  if (kind == 1) {        // flat on the vector
    sigma ~ lognormal(0, 1);
  } else if (kind == 2) { // flat on one element
    b[1] ~ normal(0, 1);
    sigma ~ lognormal(0, 1);
  } else if (kind == 3) { // flat on the half-line of sigma
    b ~ normal(0, 1);
  } else if (kind == 4) { // Jeffreys
    b ~ normal(0, 1);
    target += -log(sigma);
  } else if (kind == 5) { // a proper prior on the sum alone
    target += normal_lpdf(b[1] + b[2] | 0, 1);
    sigma ~ lognormal(0, 1);
  } else if (kind == 6) { // flat above zero only
    if (b[1] < 0) {
      b[1] ~ normal(0, 1);
    }
    b[2] ~ normal(0, 1);
    sigma ~ lognormal(0, 1);
  } else if (kind == 7) { // heavy tails, but proper
    b ~ cauchy(0, 3);
    sigma ~ inv_gamma(0.001, 0.001);
  } else if (kind == 8) { // vague, but proper
    b ~ normal(0, 1e6);
    sigma ~ cauchy(0, 25);
  } else if (kind == 9) { // proper, and zero far out
    b ~ uniform(-200, 200);
    sigma ~ uniform(0, 100);
  } else {
    b ~ normal(0, 1);
    sigma ~ lognormal(0, 1);
  }
  if (!prior_only) {
    if (kind == 10) {        // a step: 10 on half of the prior, and 1
      target += b[1] > 0 ? log(10) : 0;
    } else if (kind == 12) { // 1 on half of the prior, and nothing elsewhere
      target += b[1] > 0 ? 0 : negative_infinity();
    } else if (kind == 13) { // without a bound as sigma shrinks
      target += -0.9 * log(sigma);
    } else if (kind == 14) { // plateaus of every height
      target += -floor(4 * fmax(b[1], b[2]));
    } else if (kind != 11) { // 11: the same everywhere
      y ~ normal(b[1] + b[2], sigma);
    }
  }
}
