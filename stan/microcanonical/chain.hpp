// A chain of microcanonical trajectories with a Metropolis test at the end of each (Robnik,
// Cohn-Gordon and Seljak 2025, arXiv 2503.01707): draws have the program's density exactly.

#ifndef MANYMODES_MICROCANONICAL_CHAIN_HPP
#define MANYMODES_MICROCANONICAL_CHAIN_HPP

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "microcanonical/adaptation.hpp"
#include "microcanonical/dynamics.hpp"
#include "runners/arrays.hpp"
#include "runners/random.hpp"

namespace manymodes {

constexpr double kCareful = 0.2;    // share of trajectories whose steps are smaller than was
constexpr double kSmallest = 0.01;  // learned, down to this part: they leave narrow necks

struct ChainSettings {
  std::vector<double> start;
  std::size_t warmup = 1000, draws = 1000;
  double acceptance = 0.9;    // aimed at
  double most_gradients = 1024.0;  // of a trajectory
  double seconds = std::numeric_limits<double>::infinity();  // of wall time
};

class Chain {
 public:
  Chain(BridgeModel* model, const ChainSettings& settings, std::uint64_t seed)
      : dynamics_(model),
        settings_(settings),
        random_(seed),
        scales_(dynamics_.dims(), settings.warmup),
        step_(settings.acceptance),
        length_(dynamics_.dims()) {
    if (settings.start.size() != model->dims()) {
      throw std::runtime_error("the start is of another dimension");
    }
    now_.eta = Eigen::Map<const VectorXd>(settings.start.data(), dynamics_.dims());
    dynamics_.evaluate(&now_);
    if (!std::isfinite(now_.log_p)) {
      throw std::runtime_error("the density is zero at the start");
    }
    step_.restart(0.01 * length_.value());
    find_step();
  }

  // Makes the draws, or as many as the time allows, and writes them.
  void run(const std::string& output) {
    const auto begun = std::chrono::steady_clock::now();
    for (std::size_t i = 0; i < settings_.warmup + settings_.draws; ++i) {
      const bool is_warmup = i < settings_.warmup;
      const Move move = this->move(is_warmup);
      if (is_warmup) {
        learn(i);
      } else {
        keep(move);
      }
      const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - begun;
      if (taken.count() > settings_.seconds) {
        break;
      }
    }
    kept_.add("scale", scales_.scale.data(), static_cast<std::size_t>(scales_.scale.size()));
    const double size = step_.size();
    kept_.add("size", &size, 1);
    kept_.write(output);
  }

 private:
  static constexpr double kHopeless = 1000.0;  // nats: a trajectory diverges, as in Stan
  static constexpr double kFirstSteps = 16.0;  // while the scales are not known
  static constexpr double kTolerated = 0.2;    // nats: error of the first step of all

  struct Move {
    double acceptance, step, gradients, diverges, is_cut;
  };

  // Doubles or halves the step size until the error of a step crosses what is tolerated.
  void find_step() {
    double size = step_.size();
    const bool grows = error_of(size) < kTolerated;
    for (int k = 0; k < 100 && (error_of(size) < kTolerated) == grows; ++k) {
      size *= grows ? 2.0 : 0.5;
    }
    step_.restart(grows ? 0.5 * size : size);
  }

  double error_of(double size) {
    next_ = now_;
    dynamics_.draw_velocity(&next_, &random_);
    const double error = std::fabs(dynamics_.step(size, scales_.scale, &next_));
    return std::isfinite(error) ? error : std::numeric_limits<double>::infinity();
  }

  Move move(bool is_warmup) {
    const std::size_t choice = random_.below(Length::kTrials);
    double size = step_.size() * (0.8 + 0.4 * random_.uniform());
    const double wanted = std::max(1.0, std::ceil(length_.tried(choice) / step_.size()));
    const double most = std::max(1.0, settings_.most_gradients / kGradientsOfStep);
    const double steps = std::min(wanted, is_warmup ? std::min(most, allowed_) : most);
    const bool careful = random_.uniform() < kCareful;
    if (careful) {
      size *= std::pow(kSmallest, random_.uniform());
    }
    next_ = now_;
    dynamics_.draw_velocity(&next_, &random_);
    double error = 0.0, taken = 0.0;
    while (taken < steps && std::isfinite(error) && error < kHopeless) {
      error += dynamics_.step(size, scales_.scale, &next_);
      taken += 1.0;
    }
    const bool diverges = !(std::isfinite(error) && error < kHopeless);
    const double acceptance = diverges ? 0.0 : std::min(1.0, std::exp(-error));
    const bool accepted = random_.uniform() < acceptance;
    if (is_warmup && !careful) {
      step_.take(acceptance);
      length_.take(choice, kGradientsOfStep * taken, accepted ? next_ : now_, now_,
                   scales_.scale);
    }
    if (accepted) {
      std::swap(now_, next_);
    }
    return {acceptance, size, kGradientsOfStep * taken, diverges ? 1.0 : 0.0,
            wanted > steps ? 1.0 : 0.0};
  }

  void learn(std::size_t iteration) {
    if (scales_.take(iteration, now_.eta, now_.gradient)) {
      length_.choose(now_.eta);
      find_step();
      allowed_ *= 2.0;
    }
    if (iteration + 1 == settings_.warmup) {
      step_.settle();
    }
  }

  void keep(const Move& move) {
    kept_.add("eta", now_.eta.data(), static_cast<std::size_t>(now_.eta.size()));
    kept_.add("lp", &now_.log_p, 1);
    kept_.add("acceptance_rate", &move.acceptance, 1);
    kept_.add("step_size", &move.step, 1);
    kept_.add("n_steps", &move.gradients, 1);
    kept_.add("diverging", &move.diverges, 1);
    kept_.add("cut", &move.is_cut, 1);
  }

  Dynamics dynamics_;
  ChainSettings settings_;
  Random random_;
  Scales scales_;
  StepSize step_;
  Length length_;
  double allowed_ = kFirstSteps;  // of a trajectory in this window of the warm-up
  Phase now_, next_;
  Arrays kept_;
};

}  // namespace manymodes

#endif
