// Every constrained type and no density: the log density is the log
// Jacobian, or 0 without it.
data {
  real low; // lower bound
  real high; // upper bound
}
parameters {
  real<lower=low> above;
  real<upper=high> below;
  vector<lower=low, upper=high>[2] between;
  real<offset=low, multiplier=high> scaled;
  ordered[3] increasing;
  positive_ordered[3] increasing_positive;
  array[2] simplex[3] shares;
  unit_vector[3] direction;
  cholesky_factor_cov[2] factor;
  cholesky_factor_cov[3, 2] tall_factor;
  cholesky_factor_corr[3] corr_factor;
  cov_matrix[2] covariance;
  corr_matrix[3] correlation;
}
model {
}
