// Programs in PolyStan's convention, with a known evidence: parameters are
// uniform on (0, 1) and are turned into others by their quantile functions.
functions {
  #include polystan.stanfunctions
}
data {
  // 1 Bernoulli probability, 2 sum of two normals, 3 quantiles and nothing
  // else, 4 a direction besides, uniform on the sphere
  int<lower=1, upper=4> kind;
  int<lower=0> N; // observations
  vector[N] y; // outcomes; 0 or 1 for kind 1
  vector<lower=0>[2] prior; // Beta shapes; sd of a normal and of an outcome
}
transformed data {
  matrix[2, 2] Sigma = [[4, 1], [1, 2]]; // covariance matrix for kind 3
  array[N] int hits;
  for (n in 1 : N) {
    hits[n] = y[n] > 0.5;
  }
}
parameters {
  real<lower=0, upper=1> u;
  vector<lower=0, upper=1>[kind == 1 ? 0 : 2] x;
  array[kind == 4] unit_vector[3] direction;
}
transformed parameters {
  vector[kind == 3 ? 17 : 0] quantile; // of u
  array[kind == 3 ? 12 : 0] vector[2] quantiles; // of x
  if (kind == 3) {
    quantile = [flat_prior(u, -1, 3), log_prior(u, 2, 5),
                std_normal_prior(u), half_std_normal_prior(u),
                normal_prior(u, 10, 3), half_normal_prior(u, 5, 2),
                log10normal_prior(u, 1, 0.3), lognormal_prior(u, 1, 0.5),
                beta_prior(u, prior[1], prior[2]),
                beta_prime_prior(u, prior[1], prior[2]),
                dagum_prior(u, 2, 3, 1.5), exponential_prior(u, 2),
                cauchy_prior(u, -5, 2), half_cauchy_prior(u, 8, 3),
                flat_prior(u, 7), categorical_prior(u, [0.2, 0.5, 0.3]'),
                categorical_prior(u, [1]')]';
    quantiles[1] = flat_prior(x, -1, 3);
    quantiles[2] = log_prior(x, 2, 5);
    quantiles[3] = std_normal_prior(x);
    quantiles[4] = half_std_normal_prior(x);
    quantiles[5] = normal_prior(x, 10, 3);
    quantiles[6] = half_normal_prior(x, 5, 2);
    quantiles[7] = log10normal_prior(x, 1, 0.3);
    quantiles[8] = lognormal_prior(x, 1, 0.5);
    quantiles[9] = exponential_prior(x, 2);
    quantiles[10] = half_cauchy_prior(cauchy_prior(x, 0.5, 0.01), 8, 3);
    quantiles[11] = multi_normal_prior(x, [1, 2]', Sigma);
    quantiles[12] = multi_normal_cholesky_prior(beta_prior(x, prior[1],
                                                           prior[2]),
                                                [1, 2]',
                                                cholesky_decompose(Sigma));
  }
}
model {
  if (kind == 1) {
    hits ~ bernoulli(beta_prior(u, prior[1], prior[2]));
  } else if (kind == 2) {
    y ~ normal(sum(normal_prior(x, 0, prior[1])), prior[2]);
  } else if (kind == 4) {
    target += -log(4 * pi());
  }
}
