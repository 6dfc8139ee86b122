// Programs in one: priors whose integral is known and not 1, beside likelihoods of data that are
// mixtures, a forward algorithm, or sums in a variable.
data {
  int<lower=1> kind;      // see below
  int prior_only;         // 1: leave the likelihood out
  vector[3] y;
}
parameters {
  ordered[kind == 1 ? 2 : 0] b;
  array[kind == 2] real<lower=0> s;
  vector<lower=0>[kind == 3 ? 2 : 0] t;
  array[kind == 4] simplex[3] p;
  positive_ordered[kind == 5 ? 2 : 0] o;
  array[kind == 6] real<lower=0, upper=1> q;
  array[kind == 7] real<lower=0> m;
  array[kind == 8] unit_vector[2] u;
}
model {
  if (kind == 1) {        // ordered means of a mixture
    b ~ normal(0, 2);
    if (!prior_only) {
      for (n in 1:3) {
        vector[2] lps = rep_vector(-log(2), 2);
        for (k in 1:2) {
          lps[k] += normal_lpdf(y[n] | b[k], 1);
        }
        target += log_sum_exp(lps);
      }
    }
  } else if (kind == 2) { // a half-Cauchy scale of a mixture
    real lp = cauchy_lpdf(s[1] | 0, 5);
    target += lp;
    if (!prior_only) {
      for (n in 1:3) {
        target += log_mix(0.3, normal_lpdf(y[n] | 0, s[1]), normal_lpdf(y[n] | 1, s[1]));
      }
    }
  } else if (kind == 3) { // half-t scales of a forward algorithm
    for (k in 1:2) {
      t[k] ~ student_t(3, 0, 2.5);
    }
    if (!prior_only) {
      vector[2] forward;
      for (k in 1:2) {
        forward[k] = normal_lpdf(y[1] | 0, t[k]);
      }
      for (n in 2:3) {
        vector[2] next;
        for (k in 1:2) {
          next[k] = log_sum_exp(forward - log(2)) + normal_lpdf(y[n] | 0, t[k]);
        }
        forward = next;
      }
      target += log_sum_exp(forward);
    }
  } else if (kind == 4) { // independent elements of a simplex
    for (k in 1:3) {
      p[1][k] ~ gamma(2, 1);
    }
  } else if (kind == 5) { // in order and above zero
    o ~ normal(0, 1);
    if (!prior_only) {
      real lp = 0;
      for (n in 1:3) {
        lp += normal_lpdf(y[n] | o[1], o[2]);
      }
      target += lp;
    }
  } else if (kind == 6) {
    q[1] ~ normal(0.5, 0.2);
  } else if (kind == 7) { // a mixture of two half-distributions
    target += log_mix(0.25, normal_lpdf(m[1] | 0, 1), cauchy_lpdf(m[1] | 0, 2));
  } else if (kind == 8) {
    u[1] ~ normal(0, 0.7);
  }
}
