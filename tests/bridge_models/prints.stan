// Prints in every block, and fails after that in the block that the data name.
// Its Hessian is diagonal.
functions {
  void fail(int here, int block) {
    if (here == block) {
      print("failing in ", here);
      reject("failed in ", here);
    }
  }
}
data {
  int<lower=0, upper=4> block; // 0: none, 1: transformed data, 2: transformed
  // parameters, 3: model, 4: generated quantities
}
transformed data {
  print("data ", block);
  print("more data");
  fail(1, block);
}
parameters {
  real mu;
  vector[4] y;
}
transformed parameters {
  matrix[2, 2] square = [[1, 2], [3, 4]];
  print("square = ", square, "");
  fail(2, block);
}
model {
  print("y = ", y, ", mu = ", mu);
  print("");
  fail(3, block);
  y ~ std_normal();
  mu ~ normal(0, 2);
}
generated quantities {
  print("draw ", 1, " of ", 2);
  fail(4, block);
  print("end");
}
