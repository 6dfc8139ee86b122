// Proposals from the symmetry group of a network.
//
// The units of a hidden layer are exchanged, and single units are flipped. An exchange
// moves coordinates, which keeps volumes. A flip negates the coordinates of a unit; that of
// a sigmoid unit also adds its outgoing weights to the biases that follow, on the
// constrained scale. Where the program's density does not change (this is tried out before
// the run), only the base measure's is computed anew; otherwise both are, and the move is
// accepted by Metropolis.

#ifndef MANYMODES_TEMPERED_SYMMETRY_HPP
#define MANYMODES_TEMPERED_SYMMETRY_HPP

#include <cmath>
#include <cstddef>
#include <numeric>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "tempered/path.hpp"
#include "runners/random.hpp"

namespace manymodes {

// Units that may be exchanged: the coordinates of each, in the same order.
struct Exchange {
  bool exact = false;  // the program's density does not change
  std::vector<std::vector<Eigen::Index>> units;
};

struct Flip {
  bool exact = false;
  std::vector<Eigen::Index> negated;
  std::vector<std::pair<Eigen::Index, Eigen::Index>> added;  // (bias, weight added to it)
};

class Symmetry {
 public:
  std::vector<Exchange> exchanges;
  std::vector<std::vector<Flip>> flips;  // by layer
  double bound = 0.0;  // of the coordinates added up, which are on the logit scale; 0: none

  // "EXACT" opens a layer.
  void add_layer(const std::string& value) {
    exchanges.emplace_back();
    exchanges.back().exact = value == "1";
    flips.emplace_back();
  }

  // "I J ...": the coordinates of one more unit of the layer.
  void add_unit(const std::string& value) {
    std::istringstream in(value);
    std::vector<Eigen::Index> unit;
    for (Eigen::Index i; in >> i;) {
      unit.push_back(i);
    }
    last(exchanges).units.push_back(unit);
  }

  // "EXACT N I ... BIAS WEIGHT ...": N coordinates to negate, then pairs to add.
  void add_flip(const std::string& value) {
    std::istringstream in(value);
    Flip flip;
    std::size_t n = 0;
    in >> flip.exact >> n;
    flip.negated.resize(n);
    for (Eigen::Index& i : flip.negated) {
      in >> i;
    }
    for (Eigen::Index bias, weight; in >> bias >> weight;) {
      flip.added.emplace_back(bias, weight);
    }
    last(flips).push_back(flip);
  }

  // Moves a state by members of the group, each accepted by Metropolis: one exchange of
  // all units in each layer and, for each layer, flips of units at random if they cost
  // nothing, otherwise the flip of one.
  void move(Path* path, State* state, double beta, Random* random) {
    for (std::size_t layer = 0; layer < exchanges.size(); ++layer) {
      if (exchanges[layer].units.size() > 1) {
        propose_exchange(exchanges[layer], path, state, beta, random);
      }
      const std::vector<Flip>& own = flips[layer];
      if (own.empty()) {
        continue;
      }
      if (own.front().exact) {
        for (const Flip& flip : own) {
          if (random->uniform() < 0.5) {
            propose_flip(flip, path, state, beta, random);
          }
        }
      } else {
        propose_flip(own[random->below(own.size())], path, state, beta, random);
      }
    }
  }

 private:
  template <typename Item>
  static Item& last(std::vector<Item>& items) {
    if (items.empty()) {
      throw std::runtime_error("a symmetry before its layer");
    }
    return items.back();
  }

  void propose_exchange(const Exchange& exchange, Path* path, State* state, double beta,
                        Random* random) {
    const std::size_t n = exchange.units.size();
    order_.resize(n);
    std::iota(order_.begin(), order_.end(), 0);
    for (std::size_t i = n - 1; i > 0; --i) {
      std::swap(order_[i], order_[random->below(i + 1)]);
    }
    next_ = *state;
    for (std::size_t u = 0; u < n; ++u) {
      const auto& to = exchange.units[u];
      const auto& from = exchange.units[order_[u]];
      for (std::size_t k = 0; k < to.size(); ++k) {
        next_.eta[to[k]] = state->eta[from[k]];
        next_.grad_p[to[k]] = state->grad_p[from[k]];
      }
    }
    settle(exchange.exact, 0.0, path, state, beta, random);
  }

  void propose_flip(const Flip& flip, Path* path, State* state, double beta, Random* random) {
    next_ = *state;
    for (const Eigen::Index i : flip.negated) {
      next_.eta[i] = -state->eta[i];
      next_.grad_p[i] = -state->grad_p[i];
    }
    double log_volume = 0.0;
    for (const auto& pair : flip.added) {
      double& bias = next_.eta[pair.first];
      log_volume += log_slope(bias);
      bias = unconstrained(constrained(bias) + constrained(state->eta[pair.second]));
      if (!std::isfinite(bias)) {
        return;
      }
      log_volume -= log_slope(bias);
    }
    settle(flip.exact, log_volume, path, state, beta, random);
  }

  // Accepts or rejects `next_`; `log_volume` is the log of the factor by which the move
  // stretches volumes.
  void settle(bool exact, double log_volume, Path* path, State* state, double beta,
              Random* random) {
    if (exact) {
      path->evaluate_base(&next_);
    } else {
      path->evaluate(&next_);
    }
    if (beta > 0.0 && !std::isfinite(next_.log_p)) {
      return;
    }
    const double gain = next_.log_density(beta) - state->log_density(beta) + log_volume;
    if (gain >= 0.0 || random->uniform() < std::exp(gain)) {
      std::swap(*state, next_);
    }
  }

  double constrained(double eta) const { return bound > 0 ? bound * std::tanh(0.5 * eta) : eta; }

  double unconstrained(double theta) const {
    return bound > 0 ? 2.0 * std::atanh(theta / bound) : theta;  // no number: out of bounds
  }

  // Log of the derivative of the constrained scale, up to a constant.
  double log_slope(double eta) const {
    const double size = std::fabs(eta);
    return bound > 0 ? -size - 2.0 * std::log1p(std::exp(-size)) : 0.0;
  }

  State next_;
  std::vector<std::size_t> order_;
};

}  // namespace manymodes

#endif
