//! Conditions to a program: jumps go forward and are filled in once their target is known.

use super::ast::{Expr, Junction};
use super::error::{FilterError, Problem};
use super::layers::{Cond, Layers, Test};
use super::lex::Span;
use super::program::{Insn, Target};
use super::{MAX_INSTRUCTIONS, MAX_STACK};

/// Compiles the expression that was parsed from `source`.
pub(super) fn compile(source: &str, expr: &Expr) -> Result<Vec<Insn>, FilterError> {
    let mut compiler =
        Compiler { source, insns: Vec::new(), layers: Layers::UNTAGGED, span: Span::default() };
    let exits = compiler.expr(expr)?;
    compiler.send(&exits.yes, Target::ACCEPT);
    compiler.send(&exits.no, Target::REJECT);
    Ok(compiler.insns)
}

/// One jump still to be filled in: of this instruction, and whether it is the one taken on yes.
type Jump = (usize, bool);

/// The jumps out of a piece of program.
struct Exits {
    yes: Vec<Jump>,
    no: Vec<Jump>,
}

struct Compiler<'a> {
    source: &'a str,
    insns: Vec<Insn>,
    layers: Layers,
    /// The primitive at hand, for errors.
    span: Span,
}

impl Compiler<'_> {
    fn expr(&mut self, expr: &Expr) -> Result<Exits, FilterError> {
        match expr {
            Expr::Primitive(primitive, span) => {
                self.span = *span;
                let condition = self
                    .layers
                    .condition(primitive)
                    .map_err(|(problem, place)| place.unwrap_or(self.span).error(self.source, problem))?;
                self.cond(condition)
            }
            Expr::Not(inner) => {
                let Exits { yes, no } = self.expr(inner)?;
                Ok(Exits { yes: no, no: yes })
            }
            Expr::Chain(first, rest) => {
                let mut left = self.expr(first)?;
                for (junction, expr) in rest {
                    self.decide(&left, *junction);
                    let right = self.expr(expr)?;
                    left = join(left, right, *junction);
                }
                Ok(left)
            }
        }
    }

    fn cond(&mut self, cond: Cond) -> Result<Exits, FilterError> {
        match cond {
            Cond::Test(Test { base, offset, width, cmp, mask, value }) => {
                let (yes, no) = (Target::ACCEPT, Target::REJECT);
                self.branch(Insn::Test { base, offset, width, cmp, mask, value, yes, no })
            }
            Cond::Relation(code, cmp) => {
                self.check_stack(&code)?;
                for insn in code {
                    self.push(insn)?;
                }
                self.branch(Insn::Compare { cmp, yes: Target::ACCEPT, no: Target::REJECT })
            }
            Cond::All(conds) => self.conds(conds, Junction::And),
            Cond::Any(conds) => self.conds(conds, Junction::Or),
            Cond::Not(inner) => {
                let Exits { yes, no } = self.cond(*inner)?;
                Ok(Exits { yes: no, no: yes })
            }
        }
    }

    fn conds(&mut self, conds: Vec<Cond>, junction: Junction) -> Result<Exits, FilterError> {
        let mut left: Option<Exits> = None;
        for cond in conds {
            left = Some(match left {
                None => self.cond(cond)?,
                Some(left) => {
                    self.decide(&left, junction);
                    let right = self.cond(cond)?;
                    join(left, right, junction)
                }
            });
        }
        Ok(left.unwrap_or(Exits { yes: Vec::new(), no: Vec::new() }))
    }

    /// Sends the side that is not decided yet on to the next instruction.
    fn decide(&mut self, left: &Exits, junction: Junction) {
        let next = Target(u16::try_from(self.insns.len()).unwrap_or(u16::MAX));
        self.send(
            match junction {
                Junction::And => &left.yes,
                Junction::Or => &left.no,
            },
            next,
        );
    }

    fn send(&mut self, jumps: &[Jump], target: Target) {
        for &(at, on_yes) in jumps {
            if let Some(Insn::Test { yes, no, .. } | Insn::Compare { yes, no, .. }) = self.insns.get_mut(at) {
                *(if on_yes { yes } else { no }) = target;
            }
        }
    }

    fn branch(&mut self, insn: Insn) -> Result<Exits, FilterError> {
        let at = self.insns.len();
        self.push(insn)?;
        Ok(Exits { yes: vec![(at, true)], no: vec![(at, false)] })
    }

    fn push(&mut self, insn: Insn) -> Result<(), FilterError> {
        if self.insns.len() == MAX_INSTRUCTIONS {
            return Err(self.span.error(self.source, Problem::TooManyInstructions));
        }
        self.insns.push(insn);
        Ok(())
    }

    fn check_stack(&self, code: &[Insn]) -> Result<(), FilterError> {
        let mut depth = 0usize;
        for insn in code {
            match insn {
                Insn::Push(_) | Insn::PushLen | Insn::LoadAt { .. } => depth += 1,
                Insn::Binary(_) => depth = depth.saturating_sub(1),
                _ => {}
            }
            if depth > MAX_STACK {
                return Err(self.span.error(self.source, Problem::StackTooDeep));
            }
        }
        Ok(())
    }
}

/// The exits of both sides, once the undecided ones of the left lead into the right.
fn join(left: Exits, right: Exits, junction: Junction) -> Exits {
    // Appending to the left keeps a long chain linear.
    let append = |mut left: Vec<Jump>, right: Vec<Jump>| {
        left.extend(right);
        left
    };
    match junction {
        Junction::And => Exits { yes: right.yes, no: append(left.no, right.no) },
        Junction::Or => Exits { yes: append(left.yes, right.yes), no: right.no },
    }
}
