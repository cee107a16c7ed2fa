"""Verification of the log, the audit's rows, the trees and the signed tree heads against each other."""
