// Prints, loops without end, and crashes, on demand.
data {
  int<lower=0> prints; // lines at each evaluation of the model block
  int<lower=0, upper=3> endless; // 1 transformed data, 2 model, 3 generated quantities
  real limit; // points beyond are rejected
}
transformed data {
  int turn = 0;
  if (prints > 0) {
    print("data are read");
  }
  while (endless == 1) {
    turn = 1 - turn;
  }
}
parameters {
  vector[2] x;
}
model {
  for (i in 1 : prints) {
    print("x = ", x, ", error = ", i);
  }
  while (endless == 2) {
    target += 0;
  }
  if (x[1] > limit) {
    reject("x is beyond ", limit);
  }
  x ~ normal(0, 1);
}
generated quantities {
  real z = x[1];
  while (endless == 3) {
    z = -z;
  }
}
