// Containers that may be empty, and a draw made while the data are read.
data {
  int<lower=0> K; // size of z
  array[K] real shift; // centre of z
}
transformed data {
  real drawn = uniform_rng(0, 1);
}
parameters {
  vector[K] z;
  array[0] matrix[2, 2] never;
}
transformed parameters {
  vector[0] nothing;
}
model {
  z ~ normal(shift, 1);
}
generated quantities {
  real seen = drawn;
}
