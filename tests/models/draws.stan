// Names that ArviZ or anesthetic has for itself, data items called as those of
// other programs, and generated quantities that go wrong in every way.
data {
  int<lower=0, upper=9> kind; // what goes wrong in generated quantities
  array[2] int<lower=0> N; // rows and columns of the outcomes
  matrix[N[1], N[2]] x; // outcomes
  real cut; // where draw + chain is above it, things go wrong
  array[2] real prior_only; // of the normal prior: mean and sd
  real<lower=0> save_log_lik; // sd of an outcome
}
parameters {
  real draw;
  real draw_;
  real chain;
  vector[2] theta;
  real theta_dim_0;
  vector[2] sample;
  real y;
  real logL;
  real nlive;
  real logL_birth;
  vector[0] nothing;
  simplex[2] summary;
}
transformed parameters {
  real insertion = 2 * draw;
}
model {
  if (kind == 9 && chain > cut) {
    reject("chain is above the cut");
  }
  [draw, chain, y]' ~ normal(prior_only[1], prior_only[2]);
  [draw_, theta_dim_0, logL, nlive, logL_birth]' ~ std_normal();
  theta ~ std_normal();
  sample ~ std_normal();
  summary ~ dirichlet([1, 1]');
  to_vector(x) ~ normal(draw + chain, save_log_lik);
}
generated quantities {
  matrix[kind == 0 ? 0 : N[1], N[2]] log_lik;
  int forecast;
  simplex[2] share = summary;
  array[2] matrix[1, 2] pairs = rep_array(rep_matrix(y, 1, 2), 2);
  if (kind > 0) {
    for (i in 1 : N[1]) {
      for (j in 1 : N[2]) {
        log_lik[i, j] = normal_lpdf(x[i, j] | draw + chain, save_log_lik);
      }
    }
  }
  if (kind == 2 && draw + chain > cut) {
    log_lik[1, 2] = not_a_number();
  } else if (kind == 3) {
    log_lik[2, 1] = negative_infinity();
  } else if (kind == 4 && draw + chain > cut) {
    log_lik[N[1], N[2]] = positive_infinity();
  } else if (kind == 5 && draw + chain > cut) {
    reject("draw and chain are above the cut");
  } else if (kind == 6) {
    log_lik = rep_matrix(-1, N[1], N[2]);
  } else if (kind == 7) {
    log_lik *= 1e40;
  }
  // too large a rate for an int of kind 8
  forecast = poisson_log_rng(kind == 8 ? 50 : 1);
}
