// Rejects, throws or prints in the block that the data name.
functions {
#include act.stanfunctions
}
data {
  int<lower=0, upper=4> block; // 0: none, 1: transformed data, 2: transformed
  // parameters, 3: model, 4: generated quantities
  int action; // 1: reject, 2: an index out of range, 3: print
}
transformed data {
  act(1, block, action);
}
parameters {
  real mu;
}
transformed parameters {
  real twice = 2 * mu;
  act(2, block, action);
}
model {
  mu ~ std_normal();
  if (mu > 100) {
    reject("mu is too large: ", mu);
  }
  act(3, block, action);
}
generated quantities {
  real draw = normal_rng(mu, 1);
  act(4, block, action);
}
