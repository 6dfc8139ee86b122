// One run of parallel tempering over the density of a compiled Stan program.
//
//   tempered_run CONFIG
//
// CONFIG is a text file of "key value" lines (see `read_config`). The run goes from a base
// measure to the program's density by the method of tempering.hpp. Every evaluation stays
// in this process: BridgeStan's shared object is opened here, and no interpreter is in the
// loop. Progress goes to standard output in lines that begin with "@". After every round
// the output file is replaced: it holds the draws and energies of that round, and all that
// is needed to go on from there, which a run that finds such a file does. With the key
// "anneal" it anneals instead, by annealing.hpp, along the ladder of a finished run.
//
// Exit status: 0 finished; 2 the configuration, the library or the base measure cannot be
// used; 4 the disk is full or fails.

#include <cinttypes>
#include <cstdio>
#include <iostream>
#include <stdexcept>
#include <string>

#include "runners/base_measure.hpp"
#include "runners/bridge_model.hpp"
#include "runners/child.hpp"
#include "runners/configuration.hpp"
#include "tempered/annealing.hpp"
#include "tempered/tempering.hpp"

namespace {

struct Config {
  std::string model_library, data_file, output, prints;
  manymodes::Base base;
  manymodes::Symmetry symmetry;
  manymodes::TemperingSettings tempering;
  manymodes::AnnealingSettings annealing;
  std::uint64_t seed = 0;
};

manymodes::MetricKind metric(const std::string& diagonal) {
  return diagonal == "1" ? manymodes::MetricKind::diagonal : manymodes::MetricKind::dense;
}

Config read_config(const char* path) {
  Config config;
  manymodes::read_configuration(path, [&config](const std::string& key, const std::string& value) {
    if (key == "model_library") config.model_library = value;
    else if (key == "data_file") config.data_file = value;
    else if (key == "output") config.output = value;
    else if (key == "prints") config.prints = value;
    else if (key == "component") manymodes::add_component(value, &config.base);
    else if (key == "coordinate") manymodes::add_coordinate(value, &config.base);
    else if (key == "layer") config.symmetry.add_layer(value);
    else if (key == "unit") config.symmetry.add_unit(value);
    else if (key == "flip") config.symmetry.add_flip(value);
    else if (key == "bound") config.symmetry.bound = std::stod(value);
    else if (key == "rounds") config.tempering.rounds = std::stoi(value);
    else if (key == "temperatures") config.tempering.temperatures = std::stoi(value);
    else if (key == "per_barrier") config.tempering.per_barrier = std::stod(value);
    else if (key == "steps") config.tempering.steps = std::stod(value);
    else if (key == "diagonal") config.tempering.metric = metric(value);
    else if (key == "climbers") config.tempering.climbers = std::stoul(value);
    else if (key == "beginnings") config.tempering.beginnings = std::stoul(value);
    else if (key == "most_draws") config.tempering.most_draws = std::stoul(value);
    else if (key == "anneal") config.annealing.set(value);
    else if (key == "ladder") config.annealing.ladder = value;
    else if (key == "start") config.annealing.add_start(value);
    else if (key == "seed") config.seed = std::stoull(value);
    else return false;
    return true;
  });
  config.base.finish();
  return config;
}

}  // namespace

int main(int argc, char** argv) {
  if (!manymodes::end_with_parent()) {
    return 2;
  }
  try {
    if (argc != 2) {
      throw std::runtime_error("usage: tempered_run CONFIG");
    }
    Config config = read_config(argv[1]);
    FILE* progress = manymodes::divert_prints(config.prints);
    manymodes::BridgeModel model;
    model.open(config.model_library, config.data_file, static_cast<unsigned>(config.seed));
    manymodes::Path path(config.base, &model);
    if (config.annealing.levels > 0) {
      manymodes::Annealing(&path, &model, &config.symmetry, config.annealing, config.seed,
                           config.output, progress)
          .run();
    } else {
      manymodes::Tempering(&path, &model, &config.symmetry, config.tempering, config.seed,
                           config.output, progress)
          .run();
    }
    if (model.failures > 0) {
      std::cerr << "first failed evaluation: " << model.first_failure << '\n';
    }
    std::fprintf(progress, "@done\n");
    std::fflush(progress);
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 2;
  }
  return 0;
}
