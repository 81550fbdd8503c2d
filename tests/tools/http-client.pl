#!/usr/bin/perl
# SPDX-License-Identifier: MIT
# http-client.pl get HOST PORT PATH BYTES_PER_S: one download, slow until stdin ends, then as fast as it comes.
# http-client.pl count HOST PORT PATH: GETs on one connection until stdin ends; each body is a number, one more than the
# one before.
use strict;
use warnings;
use Digest::SHA;
use FindBin;
use lib $FindBin::Bin;
use Time::HiRes qw(sleep time);
use client;

my ($what, $host, $port, $path, $rate) = @ARGV;
connect_to($host, $port);

sub request {
	say_to("GET $path HTTP/1.1\r\nHost: $host\r\n\r\n");
	my $status = read_line();
	my ($line, $length) = ('');
	while (length($line = read_line())) {
		$length = $1 if $line =~ /^content-length: (\d+)$/i;
		die "the server ends the connection\n" if $line =~ /^connection: close/i;
	}
	die "$status\n" if $status !~ m{^HTTP/1.1 200 };
	return $length // die "no length\n";
}

sub get {
	my $left = request();
	my $sum = Digest::SHA->new(256);
	my ($start, $got, $gap, $slow) = (time, 0, 0, 1);
	print "ready\n";
	while ($left > 0) {
		my $t = time;
		my $data = read_some(65536);
		length $data or die "connection closed, $left bytes are lacking\n";
		$gap = time - $t if $slow && time - $t > $gap;
		$left -= length $data;
		$got += length $data;
		$sum->add($data);
		sleep 0.002 while $slow && !($slow = !asked_to_end()) == 0 && $got > (time - $start) * $rate;
		print "# $left bytes to come\n" if !$slow && !$gap--;
	}
	print $sum->hexdigest, "\n";
}

sub count {
	my ($last, $gap, $n) = (undef, 0, 0);
	until (asked_to_end()) {
		my $t = time;
		my $body = read_bytes(request());
		chomp $body;
		!defined $last or $body == $last + 1 or die "wanted ${\($last + 1)}, got $body\n";
		print "ready\n" if !defined $last;
		$last = $body;
		$n++;
		$gap = time - $t if time - $t > $gap;
		sleep 0.005;
	}
	print $n > 100 ? "no answer lost or doubled\n" : "only $n answers\n";
	printf "# longest gap %.0f ms, %d answers\n", $gap * 1000, $n;
}

$what eq 'get' ? get() : count();
