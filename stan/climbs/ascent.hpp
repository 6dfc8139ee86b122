// A climb to a local maximum in a box, by a projected quasi-Newton method of limited memory.
//
// The method of two metrics (Bertsekas 1982, SIAM Journal on Control and Optimization 20(2)):
// coordinates that rest at a bound and are pushed against it stay there, the others go along
// the quasi-Newton direction of L-BFGS (Nocedal 1980) in these coordinates alone, and a
// step that leaves the box is projected back to it. A first step is short, so that it does not
// jump over a barrier.

#ifndef MANYMODES_CLIMBS_ASCENT_HPP
#define MANYMODES_CLIMBS_ASCENT_HPP

#include <algorithm>
#include <cmath>
#include <deque>
#include <limits>
#include <vector>

#include "climbs/heights.hpp"

namespace manymodes {

class Ascent {
 public:
  explicit Ascent(Heights* heights) : heights_(heights), n_(heights->dims()) {}

  // Climbs from x, which becomes the maximum; returns its height.
  double climb(Point* x) {
    double height = -std::numeric_limits<double>::infinity();
    for (int round = 0; round < kRounds; ++round) {
      const double before = height;
      height = ascend(x);
      if (!(height - before >= kNoGain)) {
        break;
      }
    }
    return height;
  }

 private:
  static constexpr int kRounds = 5;  // it may stop on a slope: it begins again at its end ...
  static constexpr double kNoGain = 1e-3;  // ... until it gains less than this (nats)
  static constexpr int kSteps = 300;       // of a round
  static constexpr std::size_t kMemory = 10;
  static constexpr double kFirstStep = 1.0 / 30.0;
  static constexpr double kFlat = 1e-4;          // nats for a unit of a coordinate
  static constexpr double kUnit = 900.0;         // of the step that measures flatness
  static constexpr double kNoProgress = 1e-13;   // of the height's size
  static constexpr double kAtBound = 1e-6;       // of a coordinate
  static constexpr double kEnough = 1e-3;        // of the rise that the slope promises
  static constexpr double kLessSteep = 0.9;      // the slope that a step must leave behind
  static constexpr int kTrials = 20;

  struct Pair {
    Point step, change;  // of the point, and of minus the gradient
  };

  // One round. All is written for f = -height, which falls.
  double ascend(Point* x) {
    pairs_.clear();
    Point g(n_), d(n_), trial(n_), g_trial(n_), best(n_), g_best(n_);
    double f = descent(*x, &g);
    for (int step = 0; step < kSteps && !flat(*x, g); ++step) {
      find_free(*x, g);
      direction(*x, g, &d);
      double slope = dot(g, d, all_);
      if (!(slope < 0.0)) {
        pairs_.clear();
        direction(*x, g, &d);
        slope = dot(g, d, all_);
        if (!(slope < 0.0)) {
          break;
        }
      }
      double length = 1.0;
      if (pairs_.empty()) {
        length = std::min(1.0, kFirstStep / std::sqrt(dot(d, d, all_)));
      }
      const double f_best = search(*x, f, g, d, length, &trial, &g_trial, &best, &g_best);
      if (!(f_best < f)) {
        if (pairs_.empty()) {
          break;
        }
        pairs_.clear();  // the memory is of another place: steepest ascent next
        continue;
      }
      remember(*x, g, best, g_best);
      const double gained = f - f_best;
      const double size = std::max({std::fabs(f), std::fabs(f_best), 1.0});
      x->swap(best);
      g.swap(g_best);
      f = f_best;
      if (gained <= kNoProgress * size) {
        break;
      }
    }
    return -f;
  }

  double descent(const Point& x, Point* g) {
    const double height = heights_->at(x.data(), g->data());
    for (double& one : *g) {
      one = -one;
    }
    return -height;
  }

  // Whether no coordinate can rise: the gradient is small, or pushes against a bound.
  bool flat(const Point& x, const Point& g) const {
    for (std::size_t i = 0; i < n_; ++i) {
      const Coordinate& one = heights_->frame[i];
      const double moved = std::min(std::max(x[i] - g[i] / kUnit, one.low), one.high);
      if (kUnit * std::fabs(moved - x[i]) > kFlat) {
        return false;
      }
    }
    return true;
  }

  void find_free(const Point& x, const Point& g) {
    free_.clear();
    all_.resize(n_);
    for (std::size_t i = 0; i < n_; ++i) {
      const Coordinate& one = heights_->frame[i];
      all_[i] = i;
      const bool held = (x[i] <= one.low + kAtBound && g[i] > 0.0) ||
                        (x[i] >= one.high - kAtBound && g[i] < 0.0);
      if (!held) {
        free_.push_back(i);
      }
    }
  }

  static double dot(const Point& a, const Point& b, const std::vector<std::size_t>& places) {
    double sum = 0.0;
    for (std::size_t i : places) {
      sum += a[i] * b[i];
    }
    return sum;
  }

  // Sets the direction: two loops over the remembered pairs, in the free coordinates; a
  // coordinate near the bound that it is pushed against goes to the bound.
  void direction(const Point& x, const Point& g, Point* d) {
    for (std::size_t i = 0; i < n_; ++i) {
      const Coordinate& one = heights_->frame[i];
      (*d)[i] = (g[i] > 0.0 ? one.low : one.high) - x[i];
    }
    for (std::size_t i : free_) {
      (*d)[i] = -g[i];
    }
    const std::size_t count = pairs_.size();
    std::vector<double> curvature(count), part(count);
    double scale = 0.0;
    for (std::size_t k = count; k-- > 0;) {
      const Pair& one = pairs_[k];
      curvature[k] = dot(one.step, one.change, free_);
      const double size = dot(one.change, one.change, free_);
      if (!(curvature[k] > 1e-10 * size) || size == 0.0) {
        curvature[k] = 0.0;
        continue;
      }
      if (scale == 0.0) {
        scale = curvature[k] / size;
      }
      part[k] = dot(one.step, *d, free_) / curvature[k];
      for (std::size_t i : free_) {
        (*d)[i] -= part[k] * one.change[i];
      }
    }
    if (scale == 0.0) {
      pairs_.clear();
      return;
    }
    for (std::size_t i : free_) {
      (*d)[i] *= scale;
    }
    for (std::size_t k = 0; k < count; ++k) {
      if (curvature[k] == 0.0) {
        continue;
      }
      const double back = part[k] - dot(pairs_[k].change, *d, free_) / curvature[k];
      for (std::size_t i : free_) {
        (*d)[i] += back * pairs_[k].step[i];
      }
    }
  }

  // Searches along the projected ray for a point that is low enough and, if it is found by going
  // on, where the slope has become less steep. Returns the value at `best`.
  double search(const Point& x, double f, const Point& g, const Point& d, double length,
                Point* trial, Point* g_trial, Point* best, Point* g_best) {
    const double slope = dot(g, d, all_);
    double f_best = std::numeric_limits<double>::infinity();
    double too_far = 0.0;
    for (int attempt = 0; attempt < kTrials; ++attempt) {
      double promised = 0.0;
      bool inside = false;
      for (std::size_t i = 0; i < n_; ++i) {
        const Coordinate& one = heights_->frame[i];
        const double moved = x[i] + length * d[i];
        (*trial)[i] = std::min(std::max(moved, one.low), one.high);
        inside = inside || ((*trial)[i] == moved && d[i] != 0.0);
        promised += g[i] * ((*trial)[i] - x[i]);
      }
      const double value = descent(*trial, g_trial);
      if (!(value <= f + kEnough * promised) || !(value < f)) {
        if (f_best < f) {
          return f_best;  // the shorter step was good
        }
        too_far = length;
        // The lowest point of the parabola through what is known, if it is no extreme step.
        const double bend = value - f - length * slope;
        double shorter = bend > 0.0 ? -0.5 * slope * length * length / bend : 0.5 * length;
        length = std::min(std::max(shorter, 0.1 * length), 0.5 * length);
        continue;
      }
      if (value < f_best) {
        f_best = value;
        best->swap(*trial);
        g_best->swap(*g_trial);
      } else {
        return f_best;
      }
      double left = 0.0;  // the slope along the ray, where it is still inside
      for (std::size_t i = 0; i < n_; ++i) {
        const Coordinate& one = heights_->frame[i];
        const bool at_bound = (*best)[i] <= one.low || (*best)[i] >= one.high;
        left += at_bound ? 0.0 : (*g_best)[i] * d[i];
      }
      if (left >= kLessSteep * slope || too_far > 0.0 || !inside) {
        return f_best;
      }
      length *= 2.0;
    }
    return f_best;
  }

  void remember(const Point& x, const Point& g, const Point& x_new, const Point& g_new) {
    Pair one{Point(n_), Point(n_)};
    for (std::size_t i = 0; i < n_; ++i) {
      one.step[i] = x_new[i] - x[i];
      one.change[i] = g_new[i] - g[i];
    }
    const double curvature = dot(one.step, one.change, all_);
    if (curvature > 2.2e-16 * dot(one.change, one.change, all_)) {
      pairs_.push_back(std::move(one));
      if (pairs_.size() > kMemory) {
        pairs_.pop_front();
      }
    }
  }

  Heights* heights_;
  std::size_t n_;
  std::deque<Pair> pairs_;
  std::vector<std::size_t> free_, all_;
};

}  // namespace manymodes

#endif
