// A base measure: its quantile map, its density with its gradient, its draws.
//
// A component is eta = location + scale z, scale lower triangular, z independent with known
// quantiles and densities; a base measure is a mixture of components. The configuration of
// a run has a line "component WEIGHT" for each component, and after it a line
// "coordinate FAMILY LOCATION ROW" for each of its coordinates. ROW is that of the scale up to
// its diagonal, or the diagonal's number alone if there is nothing beside it.

#ifndef MANYMODES_RUNNERS_BASE_MEASURE_HPP
#define MANYMODES_RUNNERS_BASE_MEASURE_HPP

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace manymodes {

constexpr double kPi = 3.14159265358979323846;
constexpr double kEpsilon = std::numeric_limits<double>::epsilon();
constexpr double kCycles = 16.0;  // of the coordinate that chooses the component
constexpr double kNegligible = 40.0;  // nats: a component so far below another is nothing

enum class Family { normal, logistic, student4, cauchy };

// Quantile of the standard normal: Wichura (1988), Applied Statistics 37, AS 241,
// PPND16; relative accuracy about 1e-16.
inline double normal_quantile(double p) {
  const double q = p - 0.5;
  if (std::fabs(q) <= 0.425) {
    const double r = 0.180625 - q * q;
    const double num =
        (((((((2509.0809287301226727 * r + 33430.575583588128105) * r +
              67265.770927008700853) * r + 45921.953931549871457) * r +
            13731.693765509461125) * r + 1971.5909503065514427) * r +
          133.14166789178437745) * r + 3.387132872796366608);
    const double den =
        (((((((5226.495278852545925 * r + 28729.085735721942674) * r +
              39307.89580009271061) * r + 21213.794301586595867) * r +
            5394.1960214247511077) * r + 687.1870074920579083) * r +
          42.313330701600911252) * r + 1.0);
    return q * num / den;
  }
  double r = std::sqrt(-std::log(q < 0 ? p : 1.0 - p));
  double value;
  if (r <= 5.0) {
    r -= 1.6;
    value =
        (((((((7.7454501427834140764e-4 * r + 0.0227238449892691845833) * r +
              0.24178072517745061177) * r + 1.27045825245236838258) * r +
            3.64784832476320460504) * r + 5.7694972214606914055) * r +
          4.6303378461565452959) * r + 1.42343711074968357734) /
        (((((((1.05075007164441684324e-9 * r + 5.475938084995344946e-4) * r +
              0.0151986665636164571966) * r + 0.14810397642748007459) * r +
            0.68976733498510000455) * r + 1.6763848301838038494) * r +
          2.05319162663775882187) * r + 1.0);
  } else {
    r -= 5.0;
    value =
        (((((((2.01033439929228813265e-7 * r + 2.71155556874348757815e-5) * r +
              0.0012426609473880784386) * r + 0.026532189526576123093) * r +
            0.29656057182850489123) * r + 1.7848265399172913358) * r +
          5.4637849111641143699) * r + 6.6579046435011037772) /
        (((((((2.04426310338993978564e-15 * r + 1.4215117583164458887e-7) * r +
              1.8463183175100546818e-5) * r + 7.868691311456132591e-4) * r +
            0.0148753612908506148525) * r + 0.13692988092273580531) * r +
          0.59983220655588793769) * r + 1.0);
  }
  return q < 0 ? -value : value;
}

// Quantile of Student's t with four degrees of freedom, in closed form (Shaw 2006,
// Journal of Computational Finance 9(4), section 3).
inline double student4_quantile(double p) {
  const double a = std::sqrt(4.0 * p * (1.0 - p));
  const double q = std::cos(std::acos(std::min(a, 1.0)) / 3.0) / a;
  return std::copysign(2.0 * std::sqrt(std::max(q - 1.0, 0.0)), p - 0.5);
}

inline double quantile(Family family, double u) {
  switch (family) {
    case Family::normal:
      return normal_quantile(u);
    case Family::logistic:
      return std::log(u / (1.0 - u));
    case Family::student4:
      return student4_quantile(u);
    case Family::cauchy:
      break;
  }
  return std::copysign(1.0 / std::tan(kPi * std::min(u, 1.0 - u)), u - 0.5);
}

// Derivative of the log density of a family at standard coordinate z.
inline double score(Family family, double z) {
  switch (family) {
    case Family::normal:
      return -z;
    case Family::logistic:
      return -std::tanh(0.5 * z);
    case Family::student4:
      return -1.25 * z / (1.0 + 0.25 * z * z);
    case Family::cauchy:
      break;
  }
  return -2.0 * z / (1.0 + z * z);
}

// One component of the base measure. `scale` holds its diagonal if the coordinates are
// independent, and otherwise its lower triangle, i + 1 numbers for row i.
struct Component {
  double log_weight = 0.0;
  double log_constant = 0.0;  // of its density: weight, scale and families' constants
  bool product = true;        // the coordinates are independent
  bool all_student = true;
  std::vector<Family> families;
  std::vector<double> location;
  std::vector<double> scale;

  void add(Family family, double place, const std::vector<double>& row) {
    static const double constants[] = {-0.5 * std::log(2.0 * kPi), 0.0, std::log(0.375),
                                       -std::log(kPi)};
    families.push_back(family);
    all_student = all_student && family == Family::student4;
    location.push_back(place);
    scale.insert(scale.end(), row.begin(), row.end());
    product = product && std::all_of(row.begin(), row.end() - 1,
                                     [](double entry) { return entry == 0.0; });
    log_constant += constants[static_cast<int>(family)] - std::log(row.back());
  }

  // Keeps the diagonal alone if there is nothing beside it.
  void finish() {
    if (product) {
      for (std::size_t i = 0; i < families.size(); ++i) {
        scale[i] = scale[(i + 1) * (i + 2) / 2 - 1];
      }
      scale.resize(families.size());
    }
  }

  // The point with standard coordinates z.
  void place(const double* z, double* eta) const {
    const double* row = scale.data();
    for (std::size_t i = 0; i < families.size(); ++i) {
      double sum = location[i];
      for (std::size_t j = product ? i : 0; j <= i; ++j) {
        sum += *row++ * z[j];
      }
      eta[i] = sum;
    }
  }

  // The point at cube coordinates u; z gets its standard coordinates.
  void map(const double* u, double* z, double* eta) const {
    for (std::size_t i = 0; i < families.size(); ++i) {
      z[i] = quantile(families[i], u[i]);
    }
    place(z, eta);
  }

  // The standard coordinates of a point.
  void invert(const double* eta, double* z) const {
    const double* row = scale.data();
    for (std::size_t i = 0; i < families.size(); ++i) {
      double rest = eta[i] - location[i];
      for (std::size_t j = product ? i : 0; j < i; ++j) {
        rest -= *row++ * z[j];
      }
      z[i] = rest / *row++;
    }
  }

  // Whether the log density, times the weight, is certainly below `floor` at a point. Each
  // factor of Student's t is at most one, so that the first coordinates may tell. `z` is
  // overwritten; it has the standard coordinates of the point if the answer is no.
  bool is_below(double floor, const double* eta, double* z) const {
    const double log_most = (log_weight + log_constant - floor) / 2.5;
    if (!all_student || !(log_most < 700.0)) {  // a double holds no larger factor
      invert(eta, z);
      return false;
    }
    const double most = std::exp(log_most);
    const double* row = scale.data();
    double factors = 1.0;
    for (std::size_t i = 0; i < families.size(); ++i) {
      double rest = eta[i] - location[i];
      for (std::size_t j = product ? i : 0; j < i; ++j) {
        rest -= *row++ * z[j];
      }
      z[i] = rest / *row++;
      factors *= 1.0 + 0.25 * z[i] * z[i];
      if (factors > most) {
        return true;
      }
    }
    return false;
  }

  // Turns standard coordinates z into the gradient of the log density in eta there: the
  // scale's transpose times the gradient is the vector of scores.
  void gradient(double* z) const {
    const std::size_t dims = families.size();
    for (std::size_t i = 0; i < dims; ++i) {
      z[i] = score(families[i], z[i]);
    }
    if (product) {
      for (std::size_t i = 0; i < dims; ++i) {
        z[i] /= scale[i];
      }
      return;
    }
    for (std::size_t i = dims; i-- > 0;) {
      const double* row = scale.data() + i * (i + 1) / 2;
      z[i] /= row[i];
      for (std::size_t j = 0; j < i; ++j) {
        z[j] -= row[j] * z[i];
      }
    }
  }

  // The log density, times the weight, at standard coordinates z. Factors of Student's t
  // and Cauchy's are multiplied in blocks, of which one logarithm is taken.
  double log_density(const double* z) const {
    double total = log_weight + log_constant;
    double student = 1.0, cauchy = 1.0;
    for (std::size_t i = 0; i < families.size(); ++i) {
      const double square = z[i] * z[i];
      switch (families[i]) {
        case Family::normal:
          total -= 0.5 * square;
          break;
        case Family::logistic: {
          const double size = std::fabs(z[i]);
          total -= size + 2.0 * std::log1p(std::exp(-size));
          break;
        }
        case Family::student4:
          student *= 1.0 + 0.25 * square;
          break;
        case Family::cauchy:
          cauchy *= 1.0 + square;
          break;
      }
      if (student > 1e100 || cauchy > 1e100) {
        total -= 2.5 * std::log(student) + std::log(cauchy);
        student = cauchy = 1.0;
      }
    }
    return total - 2.5 * std::log(student) - std::log(cauchy);
  }
};

struct Base {
  std::vector<Component> components;
  std::vector<double> edges;  // upper ends of the components' shares of the first coordinate
  std::vector<double> z, terms, gradients;

  std::size_t dims() const { return components.front().families.size(); }
  std::size_t cube_dims() const { return dims() + (components.size() > 1); }

  void finish() {
    if (components.empty()) {
      throw std::runtime_error("there is no base measure");
    }
    double sum = 0.0;
    for (Component& one : components) {
      if (one.families.size() != dims()) {
        throw std::runtime_error("the components of the base measure differ in dimension");
      }
      one.finish();
      edges.push_back(sum += std::exp(one.log_weight));
    }
    z.resize(dims());
    terms.resize(components.size());
    gradients.resize(components.size() * dims());
  }

  // The component whose share of the unit interval holds a place.
  std::size_t component_at(double place) const {
    std::size_t chosen = 0;
    while (chosen + 1 < components.size() && place >= edges[chosen]) {
      ++chosen;
    }
    return chosen;
  }

  // Maps a cube point to `eta` and returns the log density of the mixture there.
  double map(const double* u, double* eta) {
    if (components.size() == 1) {
      components[0].map(u, z.data(), eta);
      return components[0].log_density(z.data());
    }
    double whole;
    const std::size_t chosen = component_at(std::modf(kCycles * u[0], &whole));
    components[chosen].map(u + 1, z.data(), eta);
    terms[chosen] = components[chosen].log_density(z.data());
    double top = terms[chosen];
    for (std::size_t k = 0; k < components.size(); ++k) {
      if (k != chosen) {
        terms[k] = term(k, top - kNegligible, eta, z.data());
        top = std::max(top, terms[k]);
      }
    }
    return sum_of_terms();
  }

  // The log density of the mixture at `eta`, and its gradient.
  double log_density_gradient(const double* eta, double* gradient) {
    const std::size_t d = dims();
    if (components.size() == 1) {
      components[0].invert(eta, gradient);
      const double log_q = components[0].log_density(gradient);
      components[0].gradient(gradient);
      return log_q;
    }
    double top = -std::numeric_limits<double>::infinity();
    for (std::size_t k = 0; k < components.size(); ++k) {
      double* own = gradients.data() + k * d;
      terms[k] = term(k, top - kNegligible, eta, own);
      if (std::isfinite(terms[k])) {
        components[k].gradient(own);
      }
      top = std::max(top, terms[k]);
    }
    const double log_q = sum_of_terms();
    std::fill(gradient, gradient + d, 0.0);
    for (std::size_t k = 0; k < components.size(); ++k) {
      const double share = std::exp(terms[k] - log_q);
      for (std::size_t i = 0; i < d && share > 0.0; ++i) {
        gradient[i] += share * gradients[k * d + i];
      }
    }
    return log_q;
  }

  // Draws from the mixture; `uniform` returns numbers from the open unit interval.
  template <typename Uniform>
  void draw(Uniform& uniform, double* eta) {
    const std::size_t chosen = components.size() == 1 ? 0 : component_at(uniform());
    for (std::size_t i = 0; i < dims(); ++i) {
      z[i] = quantile(components[chosen].families[i], uniform());
    }
    components[chosen].place(z.data(), eta);
  }

 private:
  // The log density of a component, times its weight, or minus infinity if it is below
  // `floor`; z gets the standard coordinates.
  double term(std::size_t k, double floor, const double* eta, double* z) const {
    return components[k].is_below(floor, eta, z) ? -std::numeric_limits<double>::infinity()
                                                 : components[k].log_density(z);
  }

  double sum_of_terms() const {
    const double top = *std::max_element(terms.begin(), terms.end());
    double sum = 0.0;
    for (const double term : terms) {
      sum += std::exp(term - top);
    }
    return top + std::log(sum);
  }
};

// "WEIGHT" opens a component; its coordinates follow.
inline void add_component(const std::string& value, Base* base) {
  base->components.emplace_back();
  base->components.back().log_weight = std::log(std::stod(value));
}

// "FAMILY LOCATION ROW": one coordinate of the last component.
inline void add_coordinate(const std::string& value, Base* base) {
  static const char* const names[] = {"normal", "logistic", "student4", "cauchy"};
  if (base->components.empty()) {
    throw std::runtime_error("a coordinate before the first component");
  }
  Component& one = base->components.back();
  std::istringstream in(value);
  std::string name;
  double location = 0.0, entry = 0.0;
  in >> name >> location;
  std::vector<double> row;
  while (in >> entry) {
    row.push_back(entry);
  }
  const auto found = std::find(std::begin(names), std::end(names), name);
  if (found == std::end(names)) {
    throw std::runtime_error("unknown base measure: " + name);
  }
  if (row.size() == 1) {
    row.insert(row.begin(), one.families.size(), 0.0);
  }
  if (row.size() != one.families.size() + 1 || !(row.back() > 0)) {
    throw std::runtime_error("bad coordinate: " + value);
  }
  one.add(static_cast<Family>(found - std::begin(names)), location, row);
}

}  // namespace manymodes

#endif
