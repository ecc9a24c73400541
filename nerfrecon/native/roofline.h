// What this machine can do at best, measured: the two things that a training step is made of.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace nerf {

// Runs so many rounds of multiply-adds on vectors that stay in registers; gives the operations done.
double multiply_adds(const std::string& isa, long rounds);
// Sums rows (two floats each) of a table, as a forward pass reads them.
float gather_rows(const float* table, const int32_t* rows, size_t n);
// Adds to rows of a table, as a backward pass does.
void scatter_rows(float* table, const int32_t* rows, size_t n);

}  // namespace nerf
