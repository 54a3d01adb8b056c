# make            every program to bin/
# make check      the Catch2 tests (./tests/run installs what they need first)
# make lab        the headline lab, as ./labs/run
# make bench      the suite's own figures: ratios, in one run
# make install    programs and man pages to $(DESTDIR)$(PREFIX); make uninstall takes them away
# make SAN=1 ...  the same with address and undefined-behaviour sanitizers, to bin/san/
# make gen-file SIZE=100m FILE=data     a file for halfclose-server to send

PREFIX   ?= /usr/local
CXX      ?= g++
CXXFLAGS ?= -O2 -g
SIZE     ?= 100m
FILE     ?= data

BIN      := bin$(if $(SAN),/san)
SOURCES  := $(wildcard seqserver/*.cpp TCPechod/*.cpp TCPecho/*.cpp timewait/*.cpp halfclose/*.cpp labs/*.cpp)
PROGRAMS := $(addprefix $(BIN)/,$(notdir $(SOURCES:.cpp=)))
MANPAGES := $(wildcard */*.1)
vpath %.cpp $(sort $(dir $(SOURCES)))

CPPFLAGS += -I. -MMD -MP -MF $(BIN)/.d/$(notdir $@).d
WARNINGS := -Wall -Wextra -Wpedantic -Wshadow
STANDARD := -std=c++17 -pthread $(WARNINGS)

# A fork copies what the program has mapped: a static program, with one mapping for code and constants, has the least
# (a minimal forking server: 8-10 page faults a connection instead of 22); norelro makes it one mapping less, and
# forked.ld says what it should lie beside. Where there is no static libc: early binding, no PIE, the next best.
LINKS       = $(shell echo 'int main() {}' | $(CXX) $(1) -x c++ -o /dev/null - 2>/dev/null && echo yes)
STATIC_LIBC := $(call LINKS,-static)
LAYOUT      := -Wl,-T,TCPechod/forked.ld
LAYOUT      := $(if $(call LINKS,-static $(LAYOUT)),$(LAYOUT))
ifdef SAN
  STANDARD += -fsanitize=address,undefined -fno-sanitize-recover=undefined
else ifeq ($(STATIC_LIBC),yes)
  STANDARD += -fno-pie
  LDFLAGS  += -static -no-pie -Wl,-z,noseparate-code -Wl,-z,norelro $(LAYOUT)
else
  STANDARD += -fno-pie
  LDFLAGS  += -no-pie -static-libstdc++ -static-libgcc -Wl,-z,now -Wl,-z,noseparate-code
endif

all: $(PROGRAMS)

$(BIN)/%: %.cpp TCPechod/forked.ld | $(BIN)/.d
	$(CXX) $(CPPFLAGS) $(STANDARD) $(CXXFLAGS) -o $@ $< $(LDFLAGS)

# The tests: one object per file, since Catch2's header is slow; 3.x brings its main as a library.
TESTS  := $(patsubst tests/%.cpp,$(BIN)/.d/%.o,$(wildcard tests/*.cpp))
CATCH3 := $(shell $(CXX) -std=c++17 -E -include catch2/catch_all.hpp -x c++ /dev/null >/dev/null 2>&1 && echo -lCatch2)
TESTFLAGS := $(filter -fsanitize% -fno-sanitize%,$(STANDARD))

$(BIN)/.d/%.o: tests/%.cpp | $(BIN)/.d
	$(CXX) -I. -Itests -MMD -MP -std=c++17 -pthread -Wall -Wextra -O1 -g $(TESTFLAGS) -c -o $@ $<

$(BIN)/run-tests: $(TESTS)
	$(CXX) -pthread $(TESTFLAGS) -o $@ $^ $(CATCH3)

check: all $(BIN)/run-tests
	BIN=$(BIN) $(BIN)/run-tests

lab: all
	./labs/run

bench: all
	./labs/bench

gen-file:
	head -c $(shell echo $(SIZE) | tr kmg KMG) /dev/urandom > $(FILE)

install: all
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/share/man/man1
	install $(PROGRAMS) $(DESTDIR)$(PREFIX)/bin
	$(if $(MANPAGES),install -m 644 $(MANPAGES) $(DESTDIR)$(PREFIX)/share/man/man1)

uninstall:
	rm -f $(addprefix $(DESTDIR)$(PREFIX)/bin/,$(notdir $(PROGRAMS)))
	rm -f $(addprefix $(DESTDIR)$(PREFIX)/share/man/man1/,$(notdir $(MANPAGES)))

clean:
	rm -rf bin

$(BIN)/.d:
	mkdir -p $@

-include $(wildcard $(BIN)/.d/*.d)
.PHONY: all check lab bench gen-file install uninstall clean
.SECONDARY:
