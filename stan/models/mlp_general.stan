// Bayesian neural network with a prior for every group of weights, any of
// eight likelihoods, and weights from the inputs to the outputs if so chosen.
// Without constraint, or with the biases of every hidden layer in increasing
// order and, if so chosen, positive weights from its units to the first unit
// of what follows: then the prior is restricted to this region and
// renormalised.
//
// Groups: inputs to the first layer; each later layer; hidden biases of each
// layer; last layer to outputs; output biases; inputs to outputs. A weight is
// its group's scale times, if sampled, the scale of the input or unit that it
// comes from. A raw weight is a weight divided by these, or, where the group
// is centred, the weight itself.
// target +=, not ~: an evidence needs the constants that CmdStan drops from ~.
// priors.stanfunctions says why they are terms of their own.
functions {
  #include network.stanfunctions
  #include priors.stanfunctions
  #include scale_priors.stanfunctions
  #include likelihoods.stanfunctions
  #include outcomes.stanfunctions
  #include general_likelihood.stanfunctions
  #include ordered.stanfunctions
  #include groups.stanfunctions
}
data {
  int<lower=0> N; // observations
  int<lower=1> M; // inputs
  int<lower=1> K; // outputs
  int<lower=1> L; // hidden layers
  array[L] int<lower=1> hidden; // units in each hidden layer
  int<lower=1, upper=3> activation; // 1 sigmoid, 2 tanh, 3 relu
  // 1 Bernoulli, 2 categorical, 3 normal, 4 normal whose sd depends on the
  // inputs, 5 Student-t, 6 Poisson, 7 negative binomial, 8 binomial
  int<lower=1, upper=8> likelihood;
  int<lower=0, upper=1> skip; // 1: weights from the inputs to the outputs
  int<lower=0, upper=1> increasing; // 1: biases increase within layers
  int<lower=0, upper=1> positive; // 1: weights to a first unit are positive
  matrix[N, M] X; // inputs
  // Outcomes: 0 or 1 (Bernoulli), 1 to K (categorical), counts.
  array[has_real_outcomes(likelihood) ? 0 : N] int<lower=0> y_int;
  // Real outcomes, one target after another.
  vector[has_real_outcomes(likelihood)
         ? N * target_count(likelihood, K) : 0] y_real;
  array[likelihood == binomial_likelihood() ? N : 0] int<lower=1> trials;
  vector[has_exposure(likelihood) ? N : 0] log_exposure;
  real<lower=0> noise_nu; // degrees of freedom of Student-t
  // Prior of each group; of scale and source scale 0 fixed, 1 half-normal,
  // 2 half-Cauchy, 3 Gamma on the precision.
  int<lower=2 * L + 2, upper=2 * L + 3> G; // groups
  array[G] int<lower=1, upper=4> family; // 1 normal, 2 uniform, 3 Laplace, ...
  vector<lower=0>[G] nu; // degrees of freedom of Student-t
  array[G] int<lower=0, upper=3> scale_prior;
  vector<lower=0>[G] scale; // the scale, or the width of its prior
  vector<lower=0>[G] scale_alpha; // twice the shape of the Gamma
  array[G] int<lower=0, upper=3> source_prior; // of the inputs or units
  vector<lower=0>[G] source_alpha; // twice the shape of the Gamma
  array[G] int<lower=0, upper=1> centred; // 1: raw weights are weights
  int<lower=0, upper=3> noise_prior; // as scale_prior
  real<lower=0> noise_scale; // the noise, or the width of its prior
  real<lower=0> noise_alpha; // twice the shape of the Gamma
  int<lower=0, upper=1> prior_only; // 1: leave the likelihood out
  int<lower=0, upper=1> save_log_lik; // 1: save log_lik with every draw
}
transformed data {
  matrix[input_rows(N), M + 1] X1 = network_inputs(X); // with a bias column
  vector[has_exposure(likelihood) || likelihood == binomial_likelihood()
         ? N : 0] constants // of counts
    = outcome_constants(likelihood, y_int, trials);
  int T = noise_count(likelihood, K); // sds or scales of the noise
  array[G] int one_each = rep_array(1, G);
  array[G] int sources = source_counts(G, M, hidden); // inputs or units
  array[G] int n_weights = group_sizes(sources, hidden, K);
  array[G + 1] int before = weights_before(n_weights);
  array[sum(n_weights)] int source = weight_sources(sources, n_weights);
  vector[sum(n_weights)] bound = raw_bounds(n_weights, family);
  int n_deep = deep_size(hidden); // weights between hidden layers
  int n_b = sum(hidden); // hidden biases
  int n_free = increasing ? 0 : n_b; // hidden biases in any order
  vector[n_deep] deep_bound = segment(bound, before[2] + 1, n_deep);
  vector[n_deep] deep_lowest = -deep_bound;
  vector[n_free] b_bound = segment(bound, before[L + 1] + 1, n_free);
  real b_first_bound = prior_bound(family[L + 1], 1); // of ordered biases
  real V_bound = prior_bound(family[2 * L + 1], 1);
  matrix[K, hidden[L]] V_lowest = rep_matrix(-V_bound, K, hidden[L]);
  real c_bound = prior_bound(family[2 * L + 2], 1);
  real S_bound = prior_bound(family[G], 1);
  int S_rows = skip ? K : 0;
  int S_cols = skip ? M : 0;
  vector[n_b] one = rep_vector(1, n_b); // raw biases as they are
  real log_copies = 0; // copies left out
  if (G != 2 * L + 2 + skip) {
    reject("there are ", 2 * L + 2 + skip, " groups, but G is ", G);
  }
  if (positive) {
    vector[n_deep] least
      = deep_lower_bounds(hidden, 0, negative_infinity());
    for (i in 1:n_deep) {
      deep_lowest[i] = fmax(deep_lowest[i], least[i]);
    }
    V_lowest[1] = rep_row_vector(0, hidden[L]);
    log_copies += n_b * log2();
  }
  if (increasing) {
    for (l in 1:L) {
      log_copies += lgamma(hidden[l] + 1);
      if (prior_bound(family[L + l], 1) != b_first_bound) {
        reject("ordered biases are uniform in all hidden layers or in none");
      }
    }
  }
}
parameters {
  // Scales that are sampled: of groups, of inputs and units.
  vector<lower=0>[sampled_count(scale_prior, one_each)] group_scale;
  vector<lower=0>[sampled_count(source_prior, sources)] source_scale;
  // Raw weights; hidden biases in any order, or their lowest and steps.
  matrix<lower=-bound[1], upper=bound[1]>[hidden[1], M] W_raw;
  vector<lower=deep_lowest, upper=deep_bound>[n_deep] W_deep_raw;
  vector<lower=-b_bound, upper=b_bound>[n_free] b_raw;
  vector<lower=-b_first_bound, upper=b_first_bound>[increasing ? L : 0] b_low;
  vector<lower=0, upper=b_first_bound>[increasing ? n_b - L : 0] b_step;
  matrix<lower=V_lowest, upper=V_bound>[K, hidden[L]] V_raw;
  vector<lower=-c_bound, upper=c_bound>[K] c_raw;
  matrix<lower=-S_bound, upper=S_bound>[S_rows, S_cols] S_raw;
  vector<lower=0>[noise_prior > 0 ? T : 0] sigma; // noise
}
transformed parameters {
  matrix[hidden[1], M] W; // inputs to first layer
  vector[n_deep] W_deep; // later layers, each by columns, one after another
  vector[n_b] b; // hidden biases, layer after layer
  matrix[K, hidden[L]] V; // last layer to outputs
  vector[K] c; // output biases
  matrix[S_rows, S_cols] S; // inputs to outputs
  {
    vector[sum(n_weights)] raw
      = raw_weights(W_raw, W_deep_raw, b_raw, b_low, b_step, V_raw, c_raw,
                    S_raw, hidden, b_first_bound);
    vector[sum(n_weights)] s
      = source_scales(sources, scale_prior, scale, group_scale, source_prior,
                      source_scale)[source];
    vector[sum(n_weights)] w = scaled_weights(raw, s, before, centred);
    W = to_matrix(head(w, before[2]), hidden[1], M);
    W_deep = segment(w, before[2] + 1, n_deep);
    b = segment(w, before[L + 1] + 1, n_b);
    V = to_matrix(segment(w, before[2 * L + 1] + 1, K * hidden[L]), K,
                  hidden[L]);
    c = segment(w, before[2 * L + 2] + 1, K);
    S = to_matrix(tail(w, S_rows * M), S_rows, S_cols);
  }
}
model {
  vector[sum(n_weights)] raw
    = raw_weights(W_raw, W_deep_raw, b_raw, b_low, b_step, V_raw, c_raw,
                  S_raw, hidden, b_first_bound);
  vector[sum(n_weights)] s
    = source_scales(sources, scale_prior, scale, group_scale, source_prior,
                    source_scale)[source];
  if (increasing) {
    // Jacobian of the biases' coordinates.
    target += ordered_log_det(hidden, segment(raw, before[L + 1] + 1, n_b),
                              one, b_first_bound);
  }
  // Prior: constants of normal weights and half-normal scales, and by how
  // much those of the other families differ; then the terms with scales.
  target += positive_prior_constant(num_elements(group_scale), normal_prior());
  target += positive_prior_constant(num_elements(source_scale),
                                    normal_prior());
  target += prior_constant(num_elements(W_raw), normal_prior());
  target += prior_constant(num_elements(W_deep_raw), normal_prior());
  target += prior_constant(num_elements(b_raw), normal_prior());
  target += prior_constant(num_elements(b_low), normal_prior());
  target += prior_constant(num_elements(b_step), normal_prior());
  target += prior_constant(num_elements(V_raw), normal_prior());
  target += prior_constant(num_elements(c_raw), normal_prior());
  target += prior_constant(num_elements(S_raw), normal_prior());
  target += positive_prior_constant(num_elements(sigma), normal_prior());
  target += families_constant(n_weights, family);
  target += scales_constant(one_each, scale_prior);
  target += scales_constant(sources, source_prior);
  target += scales_constant({T}, {noise_prior});
  target += scales_kernel(group_scale, scale_prior, one_each, scale,
                          scale_alpha);
  target += scales_kernel(source_scale, source_prior, sources,
                          rep_vector(1, G), source_alpha);
  target += groups_kernel(raw, s, before, centred, family, nu);
  target += scale_prior_kernel(sigma, noise_prior, noise_scale, noise_alpha);
  target += log_copies;
  if (!prior_only) {
    target += general_log_likelihood(X1, hidden, activation, likelihood,
                                     y_int, y_real, trials, log_exposure,
                                     constants, noise_nu, W, b, W_deep, V, c,
                                     S, noise(sigma, noise_prior,
                                              noise_scale, T));
  }
}
generated quantities {
  vector[save_log_lik ? N : 0] log_lik; // log likelihood of each observation
  if (save_log_lik) {
    log_lik = general_pointwise_log_likelihood(X1, hidden, activation,
                                               likelihood, y_int, y_real,
                                               trials, log_exposure,
                                               constants, noise_nu, W, b,
                                               W_deep, V, c, S,
                                               noise(sigma, noise_prior,
                                                     noise_scale, T));
  }
}
