// Climbs, and paths between maxima, over the density of a compiled Stan program.
//
//   climbs_run CONFIG
//
// CONFIG is a text file of "key value" lines (see `read_config`). The program then answers
// questions until its standard input ends. A question is a line "KIND COUNT" and COUNT doubles, an
// answer is a line "COUNT" and as many doubles, in the machine's own format:
//
//   climb      x (D)                   -> height, gradients, the maximum (D)
//   straight   enough, a (D), b (D)    -> the fall on the straight line
//   relaxed    enough, a (D), b (D)    -> the fall on the best path found, its nodes
//   density    x (D)                   -> the log density of the program
//
// `straight` and `density` take several such groups at once and give as many numbers. All points are in climbing
// coordinates (heights.hpp), all falls and heights in nats.
//
// Exit status: 0 finished; 2 the configuration, the library or a question cannot be used.

#include <cstddef>
#include <cstdio>
#include <iostream>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "climbs/ascent.hpp"
#include "climbs/heights.hpp"
#include "climbs/passes.hpp"
#include "runners/bridge_model.hpp"
#include "runners/child.hpp"
#include "runners/configuration.hpp"

namespace {

using manymodes::Point;

struct Config {
  std::string model_library, data_file, prior_file, prints;
  std::size_t nodes = 17;
  std::vector<manymodes::Coordinate> frame;
};

// "interval|line LOCATION SCALE LOW HIGH"
manymodes::Coordinate coordinate(const std::string& value) {
  std::istringstream in(value);
  std::string kind;
  manymodes::Coordinate one;
  in >> kind >> one.location >> one.scale >> one.low >> one.high;
  one.on_interval = kind == "interval";
  if (!in || !(one.scale > 0.0) || !(one.low < one.high) || (kind != "line" && !one.on_interval)) {
    throw std::runtime_error("bad coordinate: " + value);
  }
  return one;
}

Config read_config(const char* path) {
  Config config;
  manymodes::read_configuration(path, [&config](const std::string& key, const std::string& value) {
    if (key == "model_library") config.model_library = value;
    else if (key == "data_file") config.data_file = value;
    else if (key == "prior_file") config.prior_file = value;
    else if (key == "prints") config.prints = value;
    else if (key == "nodes") config.nodes = std::stoul(value);
    else if (key == "coordinate") config.frame.push_back(coordinate(value));
    else return false;
    return true;
  });
  return config;
}

// Reads the next question; false at the end of the input.
bool read_question(std::string* kind, Point* numbers) {
  char word[32];
  std::size_t count = 0;
  const int found = std::scanf("%31s %zu", word, &count);
  if (found == EOF) {
    return false;
  }
  if (found != 2 || std::getchar() != '\n') {
    throw std::runtime_error("this is no question");
  }
  *kind = word;
  numbers->resize(count);
  return std::fread(numbers->data(), sizeof(double), count, stdin) == count;
}

void need(bool fits) {
  if (!fits) {
    throw std::runtime_error("a question has another number of numbers");
  }
}

class Answers {
 public:
  Answers(manymodes::Heights* heights, std::size_t nodes)
      : heights_(heights), ascent_(heights), passes_(heights, nodes) {}

  Point to(const std::string& kind, const Point& asked) {
    const std::size_t n = heights_->dims();
    const std::size_t pair = 2 * n + 1;
    Point said;
    if (kind == "climb") {
      need(asked.size() == n);
      Point x = asked;
      heights_->clip(x.data());
      const std::size_t before = heights_->gradients;
      const double height = ascent_.climb(&x);
      said = {height, static_cast<double>(heights_->gradients - before)};
      said.insert(said.end(), x.begin(), x.end());
    } else if (kind == "straight") {
      need(asked.size() % pair == 0);
      for (const double* one = asked.data(); one < asked.data() + asked.size(); one += pair) {
        said.push_back(passes_.straight(one + 1, one + 1 + n, *one));
      }
    } else if (kind == "density") {
      need(asked.size() % n == 0);
      for (const double* one = asked.data(); one < asked.data() + asked.size(); one += n) {
        said.push_back(heights_->density(one));
      }
    } else if (kind == "relaxed") {
      need(asked.size() == pair);
      Point path;
      said = {passes_.relaxed(&asked[1], &asked[1 + n], asked[0], &path)};
      said.insert(said.end(), path.begin(), path.end());
    } else {
      throw std::runtime_error("unknown question: " + kind);
    }
    return said;
  }

 private:
  manymodes::Heights* heights_;
  manymodes::Ascent ascent_;
  manymodes::Passes passes_;
};

}  // namespace

int main(int argc, char** argv) {
  if (!manymodes::end_with_parent()) {
    return 2;
  }
  try {
    if (argc != 2) {
      throw std::runtime_error("usage: climbs_run CONFIG");
    }
    const Config config = read_config(argv[1]);
    FILE* answers = manymodes::divert_prints(config.prints);
    manymodes::BridgeModel posterior, prior;
    posterior.open(config.model_library, config.data_file, 1);
    if (!config.prior_file.empty()) {
      prior.open(config.model_library, config.prior_file, 1);
    }
    need(posterior.dims() == config.frame.size());
    manymodes::Heights heights(&posterior, config.prior_file.empty() ? nullptr : &prior,
                               config.frame);
    Answers answer(&heights, config.nodes);
    std::string kind;
    Point asked;
    while (read_question(&kind, &asked)) {
      const Point said = answer.to(kind, asked);
      std::fprintf(answers, "%zu\n", said.size());
      std::fwrite(said.data(), sizeof(double), said.size(), answers);
      std::fflush(answers);
    }
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 2;
  }
  return 0;
}
