// What a network is to the kernel: its layout, data and weights, and the counts that follow.
#ifndef MANYMODES_DESCRIPTION_HPP
#define MANYMODES_DESCRIPTION_HPP

namespace manymodes {

enum class Activation { sigmoid = 1, tanh = 2, relu = 3 };
enum class Likelihood {
  bernoulli = 1,
  categorical,
  normal,
  heteroscedastic, // normal, whose second half of outputs are the logarithms of its sd
  student,
  poisson,           // log link
  negative_binomial, // log link; variance m + (noise m)^2
  binomial           // logit link
};

constexpr int panel = 16;       // observations side by side: two vectors of the widest kind
constexpr int max_layers = 64;  // hidden layers and outputs
constexpr double half_log_two_pi = 0.91893853320467274178;

// A network with data and weights. Weights of layer l are [input][unit], input after input, then
// its biases as one more input; layer after layer. Last come those from the inputs to the outputs,
// past all layers, as [input][output], if there are any.
struct Network {
  int layers;           // hidden layers and outputs
  const int* units;     // layers + 1: inputs, units of each hidden layer, outputs
  Activation activation;
  Likelihood likelihood;
  long n;               // observations
  const double* inputs; // in panels (see `lay_out`)
  const int* y_int;     // 0 or 1 (Bernoulli), 1 to outputs (categorical), counts; n of them
  const double* y_real; // real outcomes, [target][n]
  double sigma;         // noise (normal, of one target)
  const double* weights;
  const double* transposed_end; // behind the matrices of the layers from the second on, as
                                // [unit][input]; only for gradients
  // What only some networks have.
  bool skip = false;                    // weights from the inputs to the outputs
  const double* noise = nullptr;        // sd or scale of each target; of the counts, one
  const int* trials = nullptr;          // binomial; n of them
  const double* log_exposure = nullptr; // counts: added to the output; n of them
  const double* constants = nullptr;    // counts: of each log likelihood; n of them
  double nu = 0;                        // degrees of freedom (Student-t)
  double nu_constant = 0;               // log density of it at 0 with scale 1
};

inline long panels(long n) { return (n + panel - 1) / panel; }

inline long weight_count(const Network& net) {
  long count = 0;
  for (int l = 0; l < net.layers; ++l) {
    count += static_cast<long>(net.units[l] + 1) * net.units[l + 1];
  }
  return count + (net.skip ? static_cast<long>(net.units[0]) * net.units[net.layers] : 0);
}

// Whether the likelihood is summed as squares of standardised residuals, whose sum says all of it:
// the normal likelihood of one target.
inline bool sums_squares(const Network& net) {
  return net.likelihood == Likelihood::normal && net.units[net.layers] == 1;
}

// Outcomes of an observation.
inline int targets(const Network& net) {
  const int outputs = net.units[net.layers];
  return net.likelihood == Likelihood::heteroscedastic ? outputs / 2
         : net.likelihood == Likelihood::normal || net.likelihood == Likelihood::student ? outputs
                                                                                         : 1;
}

// Numbers in `noise`.
inline int noise_count(const Network& net) {
  return net.likelihood == Likelihood::normal || net.likelihood == Likelihood::student
             ? targets(net)
             : net.likelihood == Likelihood::negative_binomial;
}

} // namespace manymodes

#endif
