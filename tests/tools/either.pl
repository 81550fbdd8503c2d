#!/usr/bin/perl
# SPDX-License-Identifier: MIT
# Asks the web servers at HOST:PORT[/PATH]... again and again, as clients would that know where a service may be: the first that
# gives an answer is enough. Until standard input ends; then it says whether there was a moment in which none did.
use strict;
use warnings;
use IO::Select;
use IO::Socket::INET;
use Time::HiRes qw(sleep time);

$| = 1;
$SIG{PIPE} = 'IGNORE';

sub answers {
	my ($at, $path) = split m{/}, shift, 2;
	my $s = IO::Socket::INET->new(PeerAddr => $at, Timeout => 10) or return 0;
	printf $s "GET /%s HTTP/1.0\r\n\r\n", $path // 'old';
	return 0 unless IO::Select->new($s)->can_read(10);
	my $got = '';
	1 while sysread $s, $got, 4096, length $got;
	return $got =~ m{^HTTP/1\.\d 200.*\n(old)\n\z}s;
}

my $in = IO::Select->new(\*STDIN);
my ($asked, $missed, $worst, $since) = (0, 0, 0, time);
my $first = 0; # the one that has answered last
while (!$in->can_read(0.05)) {
	my ($it) = grep { answers($ARGV[$_]) } $first, grep { $_ != $first } 0 .. $#ARGV;
	my $now = time;
	print "ready\n" unless $asked++;
	$worst = $now - $since if $now - $since > $worst;
	$missed++, next unless defined $it;
	$first = $it;
	$since = time;
}
printf "# %d requests; %.0f ms from one answer to the next at most\n", $asked, 1000 * $worst;
print $missed ? "$missed without an answer\n" : "always answered\n";
