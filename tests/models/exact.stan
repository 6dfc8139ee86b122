// Posteriors whose evidence is known: one for each constrained type of Stan,
// and two with many modes. What a kind does not use has size 0 or is ignored.
functions {
  /**
   * Log density of pairs that are normal with mean 0 and variance 1.
   * @param squares sum of the squares of all outcomes
   * @param products sum over pairs of their products
   * @param n number of pairs
   * @param r correlation
   * @return log density (nats)
   */
  real pairs_lpdf(real squares, real products, int n, real r) {
    real free = 1 - square(r);
    return -n * (log(2 * pi()) + 0.5 * log(free))
           - (0.5 * squares - r * products) / free;
  }
}
data {
  int<lower=1, upper=16> kind; // as the parameters are numbered
  int<lower=0, upper=1> prior_only; // 1: leave the likelihood out
  int<lower=0> N; // observations
  int<lower=2> K; // size of a parameter, and columns of the outcomes
  int<lower=1> J; // inputs, at most K
  matrix[N, J] X; // inputs
  matrix[N, K] Y; // outcomes
  vector[N] y; // outcomes of one column
  array[N, K] int<lower=0> counts; // outcomes that are counts
  vector<lower=0>[3] prior; // hyperparameters
  real<lower=0> noise; // sd of an outcome, or concentration about a direction
  real origin; // offset of kind 13, upper bound of kind 14
  matrix[2, K] centre; // of the two modes of kind 16
  vector<lower=0>[2] width; // of these modes
  real<lower=0, upper=1> share; // of the first component
}
transformed data {
  matrix[K, K] identity = diag_matrix(rep_vector(1, K));
  vector[K] zero = rep_vector(0, K);
  real log_sphere = log(2) + 0.5 * K * log(pi()) - lgamma(0.5 * K);
  real log_fisher = 0; // log of the constant of von Mises and Fisher
  real squares = 0; // of the last two columns of Y
  real products = 0;
  if (kind == 10) {
    log_fisher = (0.5 * K - 1) * log(noise) - 0.5 * K * log(2 * pi())
                 - log_modified_bessel_first_kind(0.5 * K - 1, noise);
  }
  if (kind == 6 || kind == 7) {
    squares = dot_self(Y[ : , K]) + dot_self(Y[ : , K - 1]);
    products = dot_product(Y[ : , K], Y[ : , K - 1]);
  }
}
parameters {
  array[kind == 1] real<lower=0, upper=1> theta;
  array[kind == 2] real mu;
  array[kind == 2] real<lower=0> sigma;
  vector[kind == 3 ? J : 0] beta;
  array[kind == 4 ? N : 0] simplex[K] shares;
  array[kind == 5] cov_matrix[K] precision;
  array[kind == 6] cholesky_factor_corr[K] corr_factor;
  array[kind == 7] corr_matrix[K] correlation;
  array[kind == 8] ordered[K] means;
  array[kind == 9] positive_ordered[K] parts;
  array[kind == 10] unit_vector[K] direction;
  array[kind == 11] cholesky_factor_cov[K, J] loadings;
  matrix<lower=0>[kind == 12 ? N : 0, K] rates;
  array[kind == 13 ? N : 0] vector<offset=origin,
                                   multiplier=prior[1]>[K] effects;
  row_vector<upper=origin>[kind == 14 ? K : 0] below;
  vector<lower=0, upper=10 * pi()>[kind == 15 ? 2 : 0] egg;
  vector[kind == 16 ? K : 0] x;
}
model {
  if (kind == 1) {
    target += beta_lpdf(theta | prior[1], prior[2]);
    if (!prior_only) {
      target += bernoulli_lpmf(to_array_1d(counts) | theta[1]);
    }
  } else if (kind == 2) {
    // inverse gamma for the variance, with the Jacobian of squaring
    target += inv_gamma_lpdf(square(sigma[1]) | prior[1], prior[2]);
    target += log(2 * sigma[1]);
    target += normal_lpdf(mu | 0, prior[3] * sigma[1]);
    if (!prior_only) {
      target += normal_lpdf(y | mu[1], sigma[1]);
    }
  } else if (kind == 3) {
    target += normal_lpdf(beta | 0, prior[1]);
    if (!prior_only) {
      target += normal_id_glm_lpdf(y | X, 0, beta, noise);
    }
  } else if (kind == 4) {
    for (n in 1 : N) {
      target += dirichlet_lpdf(shares[n] | rep_vector(prior[1], K));
      if (!prior_only) {
        target += multinomial_lpmf(counts[n] | shares[n]);
      }
    }
  } else if (kind == 5) {
    target += wishart_lpdf(precision[1] | prior[1], prior[2] * identity);
    if (!prior_only) {
      for (n in 1 : N) {
        target += multi_normal_prec_lpdf(Y[n] | zero, precision[1]);
      }
    }
  } else if (kind == 6) {
    target += lkj_corr_cholesky_lpdf(corr_factor[1] | prior[1]);
    if (!prior_only) {
      target += pairs_lpdf(squares | products, N,
                           dot_product(corr_factor[1, K - 1],
                                       corr_factor[1, K]));
    }
  } else if (kind == 7) {
    target += lkj_corr_lpdf(correlation[1] | prior[1]);
    if (!prior_only) {
      target += pairs_lpdf(squares | products, N, correlation[1, K - 1, K]);
    }
  } else if (kind == 8) {
    // K independent normals in ascending order
    target += lgamma(K + 1) + normal_lpdf(means[1] | 0, prior[1]);
    if (!prior_only) {
      for (n in 1 : N) {
        vector[K] terms;
        for (k in 1 : K) {
          terms[k] = normal_lpdf(y[n] | means[1, k], noise);
        }
        target += log_sum_exp(terms) - log(K);
      }
    }
  } else if (kind == 9) {
    // K independent exponentials in ascending order; a count has their sum
    target += lgamma(K + 1) + exponential_lpdf(parts[1] | prior[1]);
    if (!prior_only) {
      target += poisson_lpmf(to_array_1d(counts) | sum(parts[1]));
    }
  } else if (kind == 10) {
    // uniform on the sphere
    target += -log_sphere;
    if (!prior_only) {
      target += N * log_fisher + noise * sum(Y * direction[1]);
    }
  } else if (kind == 11) {
    // normals, those on the diagonal positive
    for (j in 1 : J) {
      target += log(2) + normal_lpdf(loadings[1, j : K, j] | 0, prior[1]);
    }
    if (!prior_only) {
      target += normal_lpdf(to_vector(Y) | to_vector(X * loadings[1]'), noise);
    }
  } else if (kind == 12) {
    target += gamma_lpdf(to_vector(rates) | prior[1], prior[2]);
    if (!prior_only) {
      for (n in 1 : N) {
        target += poisson_lpmf(counts[n] | rates[n]);
      }
    }
  } else if (kind == 13) {
    for (n in 1 : N) {
      target += normal_lpdf(effects[n] | origin, prior[1]);
      if (!prior_only) {
        target += normal_lpdf(Y[n] | effects[n], noise);
      }
    }
  } else if (kind == 14) {
    // normals truncated at the bound
    target += normal_lpdf(below | 0, prior[1])
              - K * normal_lcdf(origin | 0, prior[1]);
    if (!prior_only) {
      for (n in 1 : N) {
        target += normal_lpdf(Y[n] | below, noise);
      }
    }
  } else if (kind == 15) {
    target += -2 * log(10 * pi());
    if (!prior_only) {
      target += (2 + cos(egg[1] / 2) * cos(egg[2] / 2)) ^ 5;
    }
  } else {
    target += normal_lpdf(x | 0, prior[1]);
    if (!prior_only) {
      target += log_mix(share, normal_lpdf(x | centre[1], width[1]),
                        normal_lpdf(x | centre[2], width[2]));
    }
  }
}
generated quantities {
  vector[kind <= 3 ? N : 0] log_lik;
  if (kind == 1) {
    for (n in 1 : N) {
      log_lik[n] = bernoulli_lpmf(counts[n] | theta[1]);
    }
  } else if (kind == 2) {
    for (n in 1 : N) {
      log_lik[n] = normal_lpdf(y[n] | mu[1], sigma[1]);
    }
  } else if (kind == 3) {
    for (n in 1 : N) {
      log_lik[n] = normal_lpdf(y[n] | X[n] * beta, noise);
    }
  }
}
