// Bayesian neural network whose hidden layers are square matrices W with
// (W + W')/2 positive definite and (W - W')/2 positive above its diagonal
// (Yallup et al. 2022). The prior on them is that of mlp.stan, restricted
// to this region and renormalised; pd_skew.stanfunctions has the transform.
functions {
  #include network.stanfunctions
  #include priors.stanfunctions
  #include likelihoods.stanfunctions
  #include network_likelihood.stanfunctions
  #include pd_skew.stanfunctions
}
data {
  int<lower=0> N; // observations
  int<lower=1> M; // inputs
  int<lower=1> L; // hidden layers
  int<lower=1> K; // outputs: classes (categorical), otherwise 1
  array[L] int<lower=M, upper=M> hidden; // units in each hidden layer
  int<lower=1, upper=3> activation; // 1 sigmoid, 2 tanh, 3 relu
  int<lower=1, upper=3> likelihood; // 1 Bernoulli, 2 categorical, 3 normal
  int<lower=1, upper=4> prior_family; // normal, uniform, Laplace, Student-t
  real<lower=0> prior_scale; // standard deviation, bound of (-B, B), or scale
  real<lower=0> prior_nu; // degrees of freedom of Student-t
  real<lower=0> sigma_scale; // scale of the half-normal prior on sigma
  real<upper=0> log_region; // log prior mass of the region, all layers
  matrix[N, M] X; // inputs
  array[likelihood == 3 ? 0 : N] int<lower=0> y_int; // 0/1, or class 1:K
  vector[likelihood == 3 ? N : 0] y_real; // outcomes of the normal likelihood
  int<lower=0, upper=1> prior_only; // 1: leave the likelihood out
  int<lower=0, upper=1> save_log_lik; // 1: save log_lik with every draw
}
transformed data {
  matrix[input_rows(N), M + 1] X1 = network_inputs(X); // with a bias column
  real bound = prior_family == 2 ? prior_scale : positive_infinity();
  real u_bound = prior_family == 2 ? 1 : positive_infinity();
  int pairs = (M * (M - 1)) %/% 2; // elements above the diagonal
}
parameters {
  array[L] cholesky_factor_corr[M] R_chol; // correlations, symmetric parts
  array[L] vector<lower=0, upper=bound>[M] d; // diagonals of the weights
  array[L] vector<lower=0, upper=u_bound>[pairs] u; // skew parts
  vector<lower=-bound, upper=bound>[sum(hidden)] b; // hidden biases
  matrix<lower=-bound, upper=bound>[K, hidden[L]] V; // last layer to outputs
  vector<lower=-bound, upper=bound>[K] c; // output biases
  vector<lower=0>[likelihood == 3] sigma; // noise of the normal likelihood
}
transformed parameters {
  matrix[M, M] W // first layer
    = pd_skew_matrix(M, R_chol[1], d[1], u[1], bound);
  vector[deep_size(hidden)] W_deep; // later layers, each by columns
  for (l in 2:L) {
    W_deep[((l - 2) * M * M + 1):((l - 1) * M * M)]
      = to_vector(pd_skew_matrix(M, R_chol[l], d[l], u[l], bound));
  }
}
model {
  // Jacobian of the weights' coordinates.
  for (l in 1:L) {
    target += correlation_log_det(R_chol[l]);
    target += diagonal_log_det(d[l]);
    target += num_elements(u[l]) * log2();
  }
  target += room_log_det(W, bound);
  for (l in 2:L) {
    target += room_log_det(to_matrix(segment(W_deep, (l - 2) * M * M + 1,
                                             M * M), M, M), bound);
  }
  // Prior: constants of the family, then the terms with the scale.
  target += prior_constant(num_elements(W), prior_family);
  target += prior_constant(num_elements(W_deep), prior_family);
  target += prior_constant(num_elements(b), prior_family);
  target += prior_constant(num_elements(V), prior_family);
  target += prior_constant(num_elements(c), prior_family);
  target += positive_prior_constant(num_elements(sigma), 1);
  target += prior_kernel(append_row(append_row(to_vector(W), W_deep),
                                    append_row(append_row(b, to_vector(V)),
                                               c)),
                         prior_family, prior_scale, prior_nu);
  target += prior_kernel(sigma, 1, sigma_scale, 1);
  target += -log_region;
  if (!prior_only) {
    target += network_log_likelihood(X1, hidden, activation, likelihood,
                                     y_int, y_real, W, b, W_deep, V, c,
                                     sigma);
  }
}
generated quantities {
  vector[save_log_lik ? N : 0] log_lik; // log likelihood of each observation
  if (save_log_lik) {
    log_lik = network_pointwise_log_likelihood(X1, hidden, activation,
                                               likelihood, y_int, y_real, W,
                                               b, W_deep, V, c, sigma);
  }
}
