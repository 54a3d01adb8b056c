# make            every program to bin/
# make zoo        servers and clients with one mistake each, to bin/zoo/ (labs/grade)
# make check      the Catch2 tests (./tests/run installs what they need first)
# make lab        the headline lab, as ./labs/run
# make bench      the suite's own figures: ratios, in one run
# make handout    the guides as HTML pages, each with its pictures inside, to handout/ (HANDOUT=DIRECTORY)
# make install    programs, man pages and the labs, as `tcp-labs`, to $(DESTDIR)$(PREFIX); install-strip; uninstall
# make SAN=1 ...  the same with address and undefined-behaviour sanitizers, to bin/san/
# make gen-file SIZE=100m FILE=data     a file for halfclose-server to send

PREFIX   ?= /usr/local
CXX      ?= g++
CXXFLAGS ?= -O2
SIZE     ?= 100m
FILE     ?= data
HANDOUT  ?= handout

BIN      := bin$(if $(SAN),/san)
SOURCES  := $(wildcard seqserver/*.cpp TCPechod/*.cpp TCPecho/*.cpp timewait/*.cpp halfclose/*.cpp labs/*/*.cpp)
PROGRAMS := $(addprefix $(BIN)/,$(notdir $(SOURCES:.cpp=)))
MANPAGES := $(wildcard */*.1 labs/*/*.1)
vpath %.cpp $(sort $(dir $(SOURCES)))

CPPFLAGS += -I. -MMD -MP -MF $(BIN)/.deps/$(notdir $@).d
WARNINGS := -Wall -Wextra -Wpedantic -Wshadow
STANDARD := -std=c++17 -pthread $(WARNINGS)
# vptr opens a pipe to look at an object, and takes every object for a wrong one when there are no descriptors left.
SANITIZE := $(if $(SAN),-fsanitize=address -fsanitize=undefined -fno-sanitize=vptr -fno-sanitize-recover=undefined)

# What a distribution builds with. Not for the servers that fork, below: that would be pages to copy for every client.
HARDENED := $(if $(SAN),,-fstack-protector-strong -fPIE -U_FORTIFY_SOURCE $(if $(filter -O1 -O2 -O3 -Og -Os,$(CXXFLAGS)),-D_FORTIFY_SOURCE=2))
$(PROGRAMS): LAYOUT = $(HARDENED) $(if $(SAN),,-pie -Wl,-z,relro -Wl,-z,now)

all: $(PROGRAMS)

# The zoo: servers and clients with one real mistake each, for labs/grade. Not installed, and not a part of all.
ZOO := $(patsubst labs/zoo/servers/%.cpp,$(BIN)/zoo/%,$(wildcard labs/zoo/servers/*.cpp)) \
       $(patsubst labs/zoo/%.cpp,$(BIN)/zoo/%,$(wildcard labs/zoo/clients/*.cpp))
zoo: $(ZOO)
$(BIN)/zoo/%: labs/zoo/servers/%.cpp
	@mkdir -p $(@D)
	$(CXX) $(STANDARD) $(CXXFLAGS) -o $@ $< $(LDFLAGS)
$(BIN)/zoo/clients/%: labs/zoo/clients/%.cpp
	@mkdir -p $(@D)
	$(CXX) $(STANDARD) $(CXXFLAGS) -o $@ $< $(LDFLAGS)

$(BIN)/%: %.cpp | $(BIN)/.deps
	$(CXX) $(CPPFLAGS) $(STANDARD) $(SANITIZE) $(CXXFLAGS) -o $@ $< $(LDFLAGS) $(LAYOUT)

# Servers that fork: a child pays a page fault for each page and each 64 KiB of code that it is the first to touch. Static,
# with what it touches side by side (forked.ld), these are 12 for a connection; dynamic, 50. Compilers and linkers that
# cannot do either of the two do without it.
FORKING  := $(addprefix $(BIN)/,seqserver TCPechod TCPpechod timewait-server faultserver halfclose-server)
LINKS     = $(if $(SAN),,$(shell echo 'int main() {}' | $(CXX) $(1) $(LDFLAGS) -x c++ -o /dev/null - 2>/dev/null && echo $(1)))
FORKED   := -Wl,-z,noseparate-code -Wl,-z,norelro -Wl,-T,TCPechod/forked.ld
# asked once, and only when one of them is linked
STATIC    = $(eval STATIC := $(call LINKS,-static -no-pie -fno-pie -fdata-sections -ffunction-sections))$(STATIC)
BY_SIDE   = $(eval BY_SIDE := $(if $(STATIC),$(if $(call LINKS,-static -no-pie $(FORKED)),$(FORKED))))$(BY_SIDE)
$(FORKING): LAYOUT = $(STATIC) $(BY_SIDE)
$(FORKING): TCPechod/forked.ld

# What looks on need not be fast, and is built before a student's first lab: in half the time.
$(addprefix $(BIN)/,wire ladder): CXXFLAGS := $(CXXFLAGS:-O2=-Og)

# The tests: one object per file, since Catch2's header is slow; 3.x brings its main as a library.
TESTS  := $(patsubst tests/%.cpp,$(BIN)/.deps/%.o,$(wildcard tests/*.cpp))
CATCH3  = $(shell $(CXX) -std=c++17 -E -include catch2/catch_all.hpp -x c++ /dev/null >/dev/null 2>&1 && echo -lCatch2)

$(BIN)/.deps/%.o: tests/%.cpp | $(BIN)/.deps
	$(CXX) -I. -Itests -MMD -MP -std=c++17 -pthread -Wall -Wextra -O1 -g $(SANITIZE) -c -o $@ $<

$(BIN)/run-tests: $(TESTS)
	$(CXX) -pthread $(SANITIZE) -o $@ $^ $(CATCH3)

check: all zoo $(BIN)/run-tests
	BIN=$(BIN) $(BIN)/run-tests

lab:
	./labs/run

bench: all
	./labs/bench

handout:
	labs/script/handout "$(HANDOUT)"

gen-file:
	head -c $(shell echo $(SIZE) | tr kmg KMG) /dev/urandom > $(FILE)

# Programs that people type are for everybody's PATH; the tools of the labs, whose names are everybody's, are not, and `tcp-labs`
# finds them. Nothing that a student's runs have left is installed.
INSTALL_PROGRAM ?= install
PREFIXED := $(DESTDIR)$(PREFIX)
SHARE    := $(PREFIXED)/share/tcp-labs
TOOLS    := $(addprefix $(BIN)/,$(notdir $(basename $(wildcard labs/*/*.cpp))))
# What labs/quiz asks is built here, since a lab room need not have a compiler, and shown at the end: sources too.
QUIZ     := $(shell sed -n 's/^== //p' labs/zoo/quiz/mistakes)

install: all $(addprefix $(BIN)/zoo/,$(QUIZ))
	install -d $(PREFIXED)/bin $(PREFIXED)/libexec/tcp-labs/zoo $(SHARE) $(PREFIXED)/share/man/man1
	$(INSTALL_PROGRAM) $(filter-out $(TOOLS),$(PROGRAMS)) $(PREFIXED)/bin
	$(INSTALL_PROGRAM) $(TOOLS) $(PREFIXED)/libexec/tcp-labs
	for program in $(notdir $(filter-out $(TOOLS),$(PROGRAMS))); do ln -sf ../../bin/$$program $(PREFIXED)/libexec/tcp-labs/$$program; done
	ln -sfn ../../libexec/tcp-labs $(SHARE)/bin
	$(INSTALL_PROGRAM) $(addprefix $(BIN)/zoo/,$(QUIZ)) $(PREFIXED)/libexec/tcp-labs/zoo
	find labs -type f \( ! -name '*.[ch]pp' -o -path 'labs/zoo/servers/*' \) ! -name '*.1' ! -path labs/script/tcp-labs | tar -cf - -T - | tar -xf - -C $(SHARE) --no-same-owner
	find logs -mindepth 2 -maxdepth 2 -type f ! -path 'logs/*/.*' | tar -cf - -T - | tar -xf - -C $(SHARE) --no-same-owner
	install labs/script/tcp-labs $(PREFIXED)/bin
	for page in $(MANPAGES); do install -m 644 $$page $(PREFIXED)/share/man/man1/$$(case $$page in */tcp-labs.1) ;; labs/*) echo tcp-labs- ;; esac)$${page##*/}; done

install-strip:
	$(MAKE) INSTALL_PROGRAM='install -s' install

uninstall:
	rm -f $(addprefix $(PREFIXED)/bin/,tcp-labs $(notdir $(PROGRAMS)))
	rm -f $(addprefix $(PREFIXED)/share/man/man1/,$(notdir $(MANPAGES)) $(addprefix tcp-labs-,$(notdir $(MANPAGES))))
	rm -rf $(SHARE) $(PREFIXED)/libexec/tcp-labs

clean:
	rm -rf bin

$(BIN)/.deps:
	mkdir -p $@

-include $(wildcard $(BIN)/.deps/*.d)
.PHONY: all zoo check lab bench handout gen-file install install-strip uninstall clean
.SECONDARY:
